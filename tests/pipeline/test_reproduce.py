"""Any image of a drawn set can be drawn again, with its labels, by the command and by plain diffusers."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from datasetdm.cli import main
from datasetdm.utils.images import read_image

DOCS = Path(__file__).parents[2] / "docs/reproduce.md"
SET = Path("data/synthetic/coco")


def rows() -> pd.DataFrame:
    return pd.read_parquet(SET / "manifest.parquet")


def an_image(*, accepted: bool) -> Any:
    """The first row of the first decoder that was accepted, or rejected by both."""
    found = rows()
    return found[found["folder"] == ("images" if accepted else "rejected/images")].iloc[0]


def own_row(image: str, decoder: str) -> Any:
    found = rows()
    return found[(found["image"] == image) & (found["decoder"] == decoder)].iloc[0]


@pytest.mark.parametrize("accepted", [True, False])
def test_an_image_and_its_labels_are_the_stored_ones(drawn: Path, accepted: bool, capsys) -> None:
    row = an_image(accepted=accepted)
    assert main(["reproduce", "coco", row.image, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["equal"] and said["changed_pixels"] == 0 and not said["notes"]
    assert said["same_labels"] == {"seed_0": True, "seed_1": True} and said["columns"] == {"seed_0": {}, "seed_1": {}}
    out = Path("data/reproduced/coco") / Path(row.image).stem
    assert said["folder"] == str(out)
    np.testing.assert_array_equal(read_image(out / "images" / row.image), read_image(SET / row.folder / row.image))
    for decoder in ("seed_0", "seed_1"):
        own = own_row(row.image, decoder)
        stored = SET / ("maps" if own.accepted else "rejected/maps") / decoder / row.image
        assert (out / "maps" / decoder / row.image).read_bytes() == stored.read_bytes()
    assert read_image(out / "compared.png").shape[1] > 500
    assert [one["prompt"] for one in json.loads((out / "row.json").read_text())] == [row.prompt] * 2


@pytest.mark.extended  # tests/diffusion/test_reproduce.py runs the same lines on other rows
def test_plain_diffusers_draws_the_same_pixels_as_the_documentation_says(drawn: Path) -> None:
    lines = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)[0]
    row = an_image(accepted=False)
    position = rows().index[rows()["image"] == row.image][0]
    assert ".iloc[0]" in lines
    exec(compile(lines.replace(".iloc[0]", f".iloc[{position}]"), str(DOCS), "exec"), {})
    np.testing.assert_array_equal(read_image(Path("again.png")), read_image(SET / row.folder / row.image))


def test_the_file_names_the_benchmark_and_names_may_be_short(drawn: Path, capsys) -> None:
    row = an_image(accepted=True)
    assert main(["reproduce", str(SET / row.folder / row.image), "--out", "again"]) == 0
    assert "pixels        equal" in capsys.readouterr().out and Path("again/images", row.image).exists()
    assert main(["reproduce", "coco", str(int(Path(row.image).stem)), "--out", "again"]) == 0
    assert main(["reproduce", "params.yaml"]) == 2
    assert "is no image of a synthetic set" in capsys.readouterr().err


def test_an_unknown_image_is_named_with_those_that_there_are(drawn: Path, capsys) -> None:
    assert main(["reproduce", "coco", "00001.pgn"]) == 2
    said = capsys.readouterr().err
    assert "lists no image 00001.pgn" in said and "000001.png" in said and "3 images, 000000.png to 000002.png" in said


def test_settings_that_changed_since_are_named_and_do_not_matter(drawn: Path, capsys) -> None:
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["benchmarks"]["coco"]["synthesis"]["sampler"]["guidance_scale"] = 7.5
    content["benchmarks"]["coco"]["seeds"] = [5]
    Path("params.yaml").write_text(yaml.safe_dump(content))
    assert main(["reproduce", "coco", "000000.png"]) == 0
    said = capsys.readouterr().out
    assert "synthesis.sampler.guidance_scale: was 3.0, now 7.5" in said and "seeds: was [0, 1], now [5]" in said
    assert "pixels        equal" in said


def test_other_weights_are_refused_by_their_fingerprints(drawn: Path, capsys) -> None:
    row = an_image(accepted=True)
    copy = drawn / "weights of ann" / "changed"
    shutil.copytree(drawn / "weights of ann" / "miniworld", copy)
    (drawn / "weights of ann" / "miniworld").unlink()
    copy.rename(drawn / "weights of ann" / "miniworld")
    for file in ("weights of ann/miniworld/scheduler/scheduler_config.json", "data/decoders/coco/1/config.json"):
        (drawn / file).write_text((drawn / file).read_text() + " ")
    content = yaml.safe_load(Path("params.yaml").read_text())
    # Copies of a project keep the address of the first one: the record says which model it was.
    record = json.loads((SET / "record.json").read_text())
    record["settings"]["backbone"]["path"] = content["backbone"]["path"] = str(drawn / "weights of ann/miniworld")
    (SET / "record.json").write_text(json.dumps(record))
    assert main(["reproduce", "coco", row.image]) == 2
    said = capsys.readouterr().err
    own = own_row(row.image, "seed_1")
    assert f"the P-Decoder seed_1 of the row has the fingerprint {own.decoder_fingerprint}" in said
    assert f"the diffusion model of the row has the fingerprint {row.backbone_fingerprint}" in said
    assert "seed_0" not in said and not Path("data/reproduced").exists()


def test_a_stored_image_that_is_another_is_found(drawn: Path, capsys) -> None:
    from datasetdm.utils.files import write_image

    row = an_image(accepted=True)
    file = SET / row.folder / row.image
    pixels = read_image(file)
    pixels[3, 5] ^= 4
    write_image(file, pixels)
    shutil.rmtree(SET / "archives")  # which would bring the image back
    assert main(["reproduce", "coco", row.image]) == 2
    said = capsys.readouterr()
    assert "pixels        1 differ, by up to 4 grey levels" in said.out and "last bits differ" in said.err

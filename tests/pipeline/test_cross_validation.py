"""Cross-validation of a drawn set: images that are contradicted are left out, and nothing else changes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pycocotools.coco import COCO

from datasetdm.cli import main
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import DOWNSTREAM
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.rounds.cross_validation import CONTRADICTED, leave_out, worst
from datasetdm.pipeline.stages import STAGES
from tests.pipeline.test_rounds import FakeFamily, kept, ready  # noqa: F401  (fixtures)

STAGE = STAGES["synthesize"]


def judged(agreement: float, *categories: int) -> dict[str, object]:
    return {"agreement": agreement, "categories": list(categories)}


def test_the_worst_are_those_below_what_is_usual_for_their_categories() -> None:
    easy = {f"easy_{number}": judged(0.9, 0) for number in range(8)}
    hard = {f"hard_{number}": judged(0.4, 1) for number in range(8)}
    images = {**easy, **hard, "wrong": judged(0.5, 0), "right": judged(0.5, 1)}
    assert worst(images, 0.06) == {"wrong"}  # and not the hard ones, which agree less
    assert worst(images, 0.0) == set() and len(worst(images, 0.5)) == 9
    assert worst({"map": judged(0.3), "other": judged(0.8)}, 0.5) == {"map"}  # no categories
    assert worst({}, 0.5) == set()


def test_what_is_left_out_is_rejected_of_that_decoder_alone() -> None:
    rows = [(image, decoder, True, None) for image in ("a", "b") for decoder in ("seed_0", "seed_1")]
    manifest = pd.DataFrame(rows, columns=["image", "decoder", "accepted", "rejected"])
    changed = leave_out(manifest, {"seed_1": {"a"}, "seed_0": set()})
    assert changed["accepted"].tolist() == [True, False, True, True] and manifest["accepted"].all()
    assert changed["rejected"].tolist()[1] == CONTRADICTED


class Contradicting(FakeFamily):
    """A model that agrees with the drawn annotations, but for those of one image."""

    def load(self, folder: Path, device: str) -> "Contradicting":
        context = open_context("coco")
        files = standard_format(*context.task().kind)
        self.known = {}
        for unit in STAGE.plan(context):
            if (unit.folder / "annotations").exists():
                self.known |= {one.image.tobytes(): one for one in files.load(unit.folder, "seed_0")}
        return self


@pytest.fixture
def contradicting(monkeypatch: pytest.MonkeyPatch) -> Contradicting:
    family = Contradicting(lambda caption: False)
    monkeypatch.setitem(DOWNSTREAM, "instance", family)  # type: ignore[arg-type]
    return family


@pytest.mark.extended
def test_contradicted_images_move_to_the_rejected_ones(ready, edit, contradicting) -> None:  # noqa: F811
    assert main(["synthesize", "coco"]) == 0
    folder = Path("data/synthetic/coco")
    before = pd.read_parquet(folder / "manifest.parquet")
    accepted = before.loc[before["accepted"], "image"].tolist()
    assert len(accepted) > 3
    captions = before.set_index("image")["prompt"]
    contradicting.blind = lambda caption: caption == captions[accepted[1]]

    edit("benchmarks.coco.synthesis.cross_validation", {"folds": 2, "reject": 0.34})
    context = open_context("coco")
    assert "downstream" in STAGE.settings(context)
    keys = [unit.key for unit in STAGE.plan(context)]
    assert keys[-2:] == ["cross_validation/seed_0/0", "cross_validation/seed_0/1"]
    assert STAGE.plan(context).missing() == keys[-2:]  # the shards stay
    assert main(["synthesize", "coco"]) == 0
    assert [sets for _, sets in contradicting.trained_on] == [["seed_0"], ["seed_0"]]

    after = pd.read_parquet(folder / "manifest.parquet")
    out = after.loc[after["rejected"] == CONTRADICTED, "image"].tolist()
    same = captions[captions == captions[accepted[1]]].index  # prompts may occur twice
    assert len(out) == int(0.34 * len(accepted)) and set(out) & set(same)
    for name, images in (("", set(accepted) - set(out)), ("rejected/", {*after["image"]} - (set(accepted) - set(out)))):
        found = COCO(str(folder / f"{name}annotations/seed_0.json"))
        assert {record["file_name"] for record in found.imgs.values()} == images
        assert {path.name for path in (folder / name / "images").iterdir()} == images
    assert main(["synthesize", "coco"]) == 0  # a no-op
    assert len(contradicting.trained_on) == 2
    judgements = [json.loads((unit.folder / "agreement.json").read_text()) for unit in list(STAGE.plan(context))[-2:]]
    assert sorted(name for part in judgements for name in part) == sorted(accepted)
    assert not list(Path("data/.work/synthesize").glob("*/work"))
    assert np.isfinite([one["agreement"] for part in judgements for one in part.values()]).all()

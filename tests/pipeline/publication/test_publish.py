"""What `publish` writes: data that `datasets` opens, images that say where they come from, no path of this machine."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from datasetdm import load_model
from datasetdm.cli import main
from datasetdm.config import load_params
from datasetdm.pipeline.publication.provenance import TRAINED_ALGORITHMIC_MEDIA
from datasetdm.utils.images import read_image, read_map
from tests.pipeline.publication.hub_server import serve_hub

SET, OUT = Path("data/synthetic/coco"), Path("published")
DATA = OUT / "dataset"


def publish(*options: str) -> int:
    return main(["publish", "coco", "--out", str(OUT), *options])


def lines() -> list[dict]:
    return [json.loads(line) for line in (DATA / "train/metadata.jsonl").read_text().splitlines()]


def test_images_keep_their_pixels_and_say_where_they_come_from(drawn: Path, capsys) -> None:
    assert publish() == 0
    manifest = pd.read_parquet(SET / "manifest.parquet").query("decoder == 'seed_1'")  # the best on dev
    accepted = manifest[manifest["accepted"]]
    assert [line["image_name"] for line in lines()] == accepted["image"].tolist() and len(accepted) == 2
    for line, row in zip(lines(), accepted.itertuples(), strict=True):
        file = DATA / "train" / line["file_name"]
        np.testing.assert_array_equal(read_image(file), read_image(SET / row.folder / row.image))
        mask = read_map(DATA / "train" / line["mask_file_name"], bits=8)
        np.testing.assert_array_equal(mask, read_map(SET / "maps/seed_1" / row.image, bits=8))
        assert (line["prompt"], line["seed"], line["generator_seed"]) == (row.prompt, row.seed, row.generator_seed)
        with Image.open(file) as picture:
            picture.load()
            facts, xmp = json.loads(picture.text["DatasetDM"]), picture.info["xmp"].decode()
        assert facts["prompt"] == row.prompt and facts["seed"] == row.seed and facts["model"] == "miniworld"
        assert facts["software"].startswith("DatasetDM 0.") and facts["digitalSourceType"] == TRAINED_ALGORITHMIC_MEDIA
        source_type = f"<Iptc4xmpExt:DigitalSourceType>{TRAINED_ALGORITHMIC_MEDIA}</Iptc4xmpExt:DigitalSourceType>"
        assert source_type in xmp
    published = pd.read_parquet(DATA / "manifest.parquet")
    assert published["image"].tolist() == manifest["image"].tolist()  # the rejected ones, too
    assert published["generator_seed"].tolist() == manifest["generator_seed"].tolist()
    assert [entry["name"] for entry in json.loads((DATA / "categories.json").read_text())] == ["dog", "traffic light"]
    said = capsys.readouterr()
    assert "2 images with annotations" in said.out and str(DATA) in said.out
    for setting in ("publication.license", "publication.real_license"):
        assert f"benchmarks.coco.{setting}" in said.err
    assert "generator_license" not in said.err  # its card says so


def test_nothing_of_this_machine_is_published(drawn: Path, drawn_once: Path) -> None:
    assert publish() == 0
    own = [str(drawn).encode(), str(drawn_once).encode(), b"/home/ann", b"weights of ann"]
    files = [file for file in OUT.rglob("*") if file.is_file()]
    assert len(files) > 12
    for file in files:
        content = file.read_bytes()
        assert not [word for word in own if word in content], file
    manifest = pd.read_parquet(DATA / "manifest.parquet")
    assert not [word for word in own if word.decode() in manifest.to_csv()]
    snapshot = load_params(DATA / "params.yaml")
    here = load_params()
    assert snapshot.benchmarks["coco"].synthesis == here.benchmarks["coco"].synthesis
    assert snapshot.benchmarks["coco"].study == {}
    assert str(snapshot.benchmarks["coco"].source.root) == "photos of toys" and snapshot.backbone.path == "miniworld"


@pytest.mark.extended  # loads four models
def test_published_models_are_the_best_on_dev_and_load(drawn: Path, capsys) -> None:
    assert publish("--json") == 0
    assert set(json.loads(capsys.readouterr().out)["folders"]) == {"dataset", "p_decoder", "downstream"}
    image = np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)
    folders = {"downstream": "downstream/coco/both/1", "p_decoder": "decoders/coco/1"}
    for name, original in folders.items():
        assert {file.name for file in (OUT / name).iterdir()} == {"README.md", "config.json", "model.safetensors"}
        (found,), (known,) = (
            load_model(folder, device="cpu").predict([image]) for folder in (OUT / name, Path("data") / original)
        )
        np.testing.assert_array_equal(found.labels, known.labels)


def test_what_would_be_lost_or_untrue_is_refused(drawn: Path, capsys) -> None:
    OUT.mkdir()
    (OUT / "thesis.txt").write_text("mine")
    assert publish("--replace") == 2
    assert "is no publication" in capsys.readouterr().err and (OUT / "thesis.txt").read_text() == "mine"
    (OUT / "thesis.txt").unlink()
    assert publish() == 0
    assert publish() == 2
    assert "--replace" in capsys.readouterr().err
    assert publish("--replace") == 0

    content = yaml.safe_load(Path("params.yaml").read_text())
    block = content["benchmarks"]["coco"]
    block["synthesis"]["sampler"]["guidance_scale"], block["decoder"]["iterations"] = 7.5, 3
    Path("params.yaml").write_text(yaml.safe_dump(content))
    capsys.readouterr()
    assert publish("--replace") == 2
    said = capsys.readouterr().err
    assert "synthesize: synthesis.sampler.guidance_scale: was 3.0, now 7.5" in said
    assert "train_decoder: decoder.iterations: was 1, now 3" in said and "datasetdm run coco" in said


def test_to_the_hub_with_a_token_that_stays_secret(drawn: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    secret = "hf_a_very_secret_token"
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(drawn / "no token"))
    assert publish("--hub", "ann/toys") == 2
    assert "HF_TOKEN" in capsys.readouterr().err and not OUT.exists()
    monkeypatch.setenv("HF_TOKEN", secret)
    assert publish("--hub", "no name") == 2
    assert "owner/name" in capsys.readouterr().err
    with serve_hub() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.address)
        hub.status = 403
        assert publish("--hub", "ann/toys") == 2
        assert "write access" in capsys.readouterr().err and (DATA / "README.md").exists()
        hub.status = 200
        assert publish("--hub", "ann/toys", "--private", "--replace") == 0
    assert hub.created == [
        ("dataset", "ann/toys", True),
        ("model", "ann/toys-p-decoder", True),
        ("model", "ann/toys-upernet-r18", True),
    ]
    assert f"{hub.address}/datasets/ann/toys" in capsys.readouterr().out
    sent = hub.files["datasets/ann/toys"]
    local = {file.relative_to(DATA).as_posix(): file.read_bytes() for file in DATA.rglob("*") if file.is_file()}
    assert sent == local and {"README.md", "croissant.json", "train/metadata.jsonl"} <= set(sent)
    assert (
        b'load_dataset("ann/toys"' in sent["README.md"]
        and b"- ann/toys" in hub.files["models/ann/toys-p-decoder"]["README.md"]
    )
    assert hub.tokens == {secret}
    assert not [file for file in OUT.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]


def test_datasets_opens_it(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    assert publish() == 0
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", drawn / "cache")
    loaded = datasets.load_dataset(str(DATA.resolve()), split="train", cache_dir=str(drawn / "cache"))
    assert loaded.num_rows == 2 and {"image", "mask", "prompt", "seed", "score"} <= set(loaded.features)
    for row, line in zip(loaded, lines(), strict=True):
        assert row["prompt"] == line["prompt"] and row["generator_seed"] == line["generator_seed"]
        np.testing.assert_array_equal(np.array(row["image"]), read_image(DATA / "train" / line["file_name"]))
        np.testing.assert_array_equal(np.array(row["mask"]), read_map(DATA / "train" / line["mask_file_name"], bits=8))


def test_mlcroissant_accepts_it_and_reads_its_records(drawn: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["benchmarks"]["coco"]["publication"] = {
        "license": "cc-by-4.0", "authors": ["Ann"], "title": "Toys at night", "url": "https://example.org/toys"
    }  # fmt: skip
    Path("params.yaml").write_text(yaml.safe_dump(content))
    assert publish() == 0
    dataset = mlcroissant.Dataset(str(DATA / "croissant.json"))
    assert not dataset.metadata.issues.errors and not dataset.metadata.issues.warnings
    assert dataset.metadata.name == "Toys at night" and dataset.metadata.license == ["cc-by-4.0"]
    records = list(dataset.records("images_with_annotations"))
    for record, line in zip(records, lines(), strict=True):
        assert record["images_with_annotations/prompt"].decode() == line["prompt"]
        assert record["images_with_annotations/generator_seed"] == line["generator_seed"]
        image = np.array(record["images_with_annotations/image"])
        np.testing.assert_array_equal(image, read_image(DATA / "train" / line["file_name"]))
    assert len(list(dataset.records("masks"))) == 2


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
def test_exiftool_reads_the_terms_of_iptc(drawn: Path) -> None:
    assert publish() == 0
    file = DATA / "train" / lines()[0]["file_name"]
    said = subprocess.run(["exiftool", "-j", "-G", file], capture_output=True, text=True, check=True).stdout
    found = json.loads(said)[0]
    assert found["XMP:DigitalSourceType"] == TRAINED_ALGORITHMIC_MEDIA
    assert found["PNG:Description"] == lines()[0]["prompt"] and "Warning" not in said

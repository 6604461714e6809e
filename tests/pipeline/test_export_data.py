"""The command `export`, on the published sets of a project."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Sample
from datasetdm.cli import main
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.utils.files import write_json

SOURCE = {"format": "coco", "root": "data/raw/mine"}
COCO = (Category(id=17, name="cat"), Category(id=18, name="dog"))
FARM = (Category(id=3, name="hen"), Category(id=18, name="dog"))
OTHER = (Category(id=1, name="dog"), Category(id=18, name="cow"))
SETTINGS = config.InstanceAnnotation()


def samples(count: int, seed: int) -> list[Sample]:
    rng = np.random.default_rng(seed)
    found = []
    for number in range(1, count + 1):
        mask = np.zeros((1, 12, 16), dtype=bool)
        mask[0, 2 : 3 + number % 8, 3:9] = True
        found.append(
            Sample(
                name=f"{number:05d}.png",
                image=rng.integers(0, 256, (12, 16, 3), dtype=np.uint8),
                caption=f"a photo of {number}",
                target=Instances.of(mask, np.array([number % 2])),
                image_id=number,
            )
        )
    return found


def publish(benchmark: str, categories: Sequence[Category], seed: int, count: int = 5) -> None:
    """The sets of a benchmark as the stages publish them: of five generated images one is rejected."""
    files = standard_format(SETTINGS, categories)
    real, synthetic = (Path("data") / kind / benchmark for kind in ("real", "synthetic"))
    for position, (subset, size) in enumerate({"few_shot_0": 3, "dev": 2, "test": 2}.items()):
        files.save(real / subset, subset, samples(size, 10 * seed + position))
        (real / "images").mkdir(parents=True, exist_ok=True)
        (real / "annotations").mkdir(exist_ok=True)
        content = json.loads((real / subset / "annotations" / f"{subset}.json").read_text())
        for record in content["images"]:
            named = f"{subset}_{record['file_name']}"
            (real / subset / "images" / record["file_name"]).rename(real / "images" / named)
            record["file_name"] = named
        write_json(real / "annotations" / f"{subset}.json", content)
    write_json(real / "categories.json", [asdict(category) for category in categories])
    drawn = samples(count, 10 * seed + 7)
    files.save(synthetic, "seed_0", drawn[:-1])
    files.save(synthetic / "rejected", "seed_0", drawn[-1:])
    pd.DataFrame(
        {
            "image": [sample.name for sample in drawn],
            "decoder": "seed_0",
            "accepted": [True] * (count - 1) + [False],
            "score": np.linspace(0.5, 0.9, count),
            "num_objects": 1,
            "seed": range(100, 100 + count),
        }
    ).to_parquet(synthetic / "manifest.parquet")


@pytest.fixture
def benchmarks(project, edit) -> None:
    project(SOURCE)
    import yaml

    block = yaml.safe_load(Path("params.yaml").read_text())["benchmarks"]["coco"]
    for name in ("farm", "other", "maps"):
        edit(f"benchmarks.{name}", block)
    edit("benchmarks.maps.task", "semantic")
    edit("benchmarks.maps.source.format", "voc")
    edit("benchmarks.maps.downstream.model", "upernet_r18")
    for seed, (name, categories) in enumerate({"coco": COCO, "farm": FARM, "other": OTHER}.items()):
        publish(name, categories, seed)


def exported(folder: str, split: str = "train") -> dict:
    return json.loads((Path(folder) / "annotations" / f"instances_{split}.json").read_text())


def test_sets_become_splits(benchmarks, capsys) -> None:
    assert main(["export", "coco", "--format", "coco", "--out", "out"]) == 0
    assert "out: 4 images (4 for train) as coco" in capsys.readouterr().out
    content = exported("out")
    assert [image["file_name"] for image in content["images"]] == [f"{n:05d}.png" for n in range(1, 5)]  # accepted
    assert [image["seed"] for image in content["images"]] == [100, 101, 102, 103]
    assert "miniworld" in content["licenses"][0]["name"] and content["images"][0]["license"] == 1
    assert len(list(Path("out").rglob("*.png"))) == 4

    assert main(["export", "coco", "--format", "coco", "--out", "out", "--set", "both", "dev", "test"]) == 0
    names = {split: [image["file_name"] for image in exported("out", split)["images"]] for split in ("train", "val")}
    assert len(names["train"]) == 7 and names["train"][:3] == [f"few_shot_0_{n:05d}.png" for n in (1, 2, 3)]
    assert names["val"] == ["dev_00001.png", "dev_00002.png"]
    assert {image["set"] for image in exported("out", "test")["images"]} == {"test"}
    ids = [image["id"] for split in ("train", "val", "test") for image in exported("out", split)["images"]]
    assert ids == list(range(1, 12))


def test_benchmarks_are_merged_by_category_name(benchmarks, capsys) -> None:
    assert main(["export", "coco", "farm", "--format", "coco", "--out", "merged"]) == 0
    content = exported("merged")
    assert [(c["id"], c["name"]) for c in content["categories"]] == [(3, "hen"), (17, "cat"), (18, "dog")]
    assert len({image["file_name"] for image in content["images"]}) == 8
    of = {image["id"]: image for image in content["images"]}
    names = {c["id"]: c["name"] for c in content["categories"]}
    for record in content["annotations"]:
        image = of[record["image_id"]]
        number = int(image["file_name"].removesuffix(".png")[-5:])
        own = COCO if image["benchmark"] == "coco" else FARM
        assert names[record["category_id"]] == own[number % 2].name

    capsys.readouterr()
    command = ["export", "coco", "other", "--format", "coco", "--out", "out"]
    assert main(command) == 2 and not Path("out").exists()
    said = capsys.readouterr().err
    assert "'dog' is 18 in coco and 1 in other" in said and "id 18 is 'dog' in coco and 'cow' in other" in said
    assert main([*command, "--renumber"]) == 0
    assert "category ids of other: 1 is now 18, 18 is now 19" in capsys.readouterr().out
    assert [(c["id"], c["name"]) for c in exported("out")["categories"]] == [(17, "cat"), (18, "dog"), (19, "cow")]
    record = json.loads(Path("out/datasetdm_export.json").read_text())
    assert record["renumbered"] == {"other": {"1": 18, "18": 19}} and record["format"] == "coco"


MISTAKES = {
    "nothing": "nothing",
    "coco --set augmented": "datasetdm augment coco",
    "coco --seed 3": "coco has no seed 3",
    "coco maps": "different tasks (coco: instance, maps: semantic)",
    "maps --format yolo": "These can: voc, cvat, imagefolder, parquet, webdataset",
    "maps --format voc": "datasetdm ingest maps",
    "coco --out data/synthetic/coco/export": "choose another --out",
    "coco --out data": "is no export of DatasetDM",
}


def test_mistakes_are_explained(benchmarks, capsys) -> None:
    before = sorted(Path().rglob("*"))
    for arguments, expected in MISTAKES.items():
        given = arguments.split()
        given += [] if "--format" in given else ["--format", "coco"]
        given += [] if "--out" in given else ["--out", "out"]
        assert main(["export", *given]) == 2
        assert expected in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before

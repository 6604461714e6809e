"""Exports of every labelling tool give the same data set."""

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from ruamel.yaml import YAML

from datasetdm.config import Benchmark
from datasetdm.datasets.native import open_split
from datasetdm.pipeline.ingestion.ingest import ingest
from tests.datasets.importing.builders import BUILDERS, Labelled, coco, pictures, write
from tests.datasets.importing.conftest import Import

REAL = Path(__file__).parents[4] / "shared" / "realdata" / "COCO2017"


def found(root: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    """Name and mask of every object by the name of its image, over both sides of the split."""
    objects: dict[str, list[tuple[str, np.ndarray]]] = {}
    for side in ("train", "val"):
        split = open_split("coco", root, side)  # type: ignore[arg-type]
        for index in range(len(split)):
            sample = split[index]
            names = [split.categories[label].name for label in sample.target.labels]
            objects[Path(sample.name).stem] = list(zip(names, sample.target.masks, strict=True))
    return objects


def drawn(item: Labelled) -> list[tuple[str, np.ndarray]]:
    """What the picture shows, drawn by pycocotools."""
    return [
        (label, coco_mask.decode(coco_mask.frPyObjects([polygon], *item.size))[..., 0].astype(bool))
        for label, polygon in item.polygons
    ]


def check_same(items: list[Labelled], root: Path) -> None:
    objects = found(root)
    assert set(objects) == {Path(item.name).stem for item in items}
    for item in items:
        mine, wanted = objects[Path(item.name).stem], drawn(item)
        assert [label for label, _ in mine] == [label for label, _ in wanted]
        for (_, mask), (_, true) in zip(mine, wanted, strict=True):
            union = (mask | true).sum()
            assert (mask & true).sum() >= 0.999 * union, item.name


@pytest.mark.parametrize("tool", BUILDERS)
def test_every_tool_gives_the_same_objects(tool: str, run_import: Import, tmp_path: Path) -> None:
    items = pictures(tmp_path / "photos", 10)
    BUILDERS[tool](items, tmp_path / "export")
    imported = run_import(tmp_path / "export")
    check_same(items, imported.folder)
    assert tool.split()[0] in imported.report[0] or tool == "COCO"


@pytest.mark.parametrize("tool", BUILDERS)
@pytest.mark.skipif(not REAL.is_dir(), reason="needs real images of COCO")
def test_real_photographs_keep_their_objects(tool: str, run_import: Import, tmp_path: Path) -> None:
    content = json.loads((REAL / "annotations" / "instances_val2017.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    items = []
    for image in content["images"]:
        own = [record for record in content["annotations"] if record["image_id"] == image["id"]]
        simple = all(isinstance(one["segmentation"], list) and len(one["segmentation"]) == 1 for one in own)
        if simple and 2 <= len(own) <= 8:
            polygons = [(names[one["category_id"]], one["segmentation"][0]) for one in own]
            items.append(Labelled(image["file_name"], REAL / "val2017" / image["file_name"], polygons))
    items = items[:6]
    assert len(items) == 6
    BUILDERS[tool](items, tmp_path / "export")
    check_same(items, run_import(tmp_path / "export", keep_going=True).folder)


def test_ingest_runs_on_groups_of_very_different_sizes(run_import: Import, tmp_path: Path) -> None:
    items = pictures(tmp_path / "export", 30)
    for number, item in enumerate(items):
        group = 0 if number < 18 else number // 3
        item.file = item.file.rename(item.file.with_name(f"video{group}_frame{number:03d}.png"))
        item.name = item.file.name
    write(tmp_path / "export" / "labels.json", coco(items))
    for seed in range(3):
        imported = run_import(tmp_path / "export", seed=seed, replace=True)
        block = Benchmark.model_validate(YAML(typ="safe").load(imported.block.text)["mine"])
        ingest(block.source, block.ingest, block.task, block.seeds, tmp_path / f"real{seed}")


def test_the_block_loads_and_ingest_runs(run_import: Import, tmp_path: Path) -> None:
    BUILDERS["CVAT"](pictures(tmp_path / "photos", 20), tmp_path / "export")
    imported = run_import(tmp_path / "export")
    block = Benchmark.model_validate(YAML(typ="safe").load(imported.block.text)["mine"])
    assert (block.ingest.num_real, block.ingest.num_dev, block.ingest.num_oracle) == (13, 3, 0)
    figures = ingest(block.source, block.ingest, block.task, block.seeds, tmp_path / "real")
    assert figures["few_shot_0_images"] == 13
    assert figures["test_images"] == 4
    assert figures["categories"] == 3

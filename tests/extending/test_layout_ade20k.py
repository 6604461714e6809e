"""docs/extending.md, "A data layout": two files, the reader (`ade20k.py` here) and `datasetdm/layouts.py`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.native import open_split
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from datasetdm.layouts import LAYOUTS, Layout
from datasetdm.pipeline.ingestion.ingest import ingest

WALL, SKY, TREE = 0, 1, 2
CLASSES = ((1, "wall"), (3, "sky"), (5, "tree"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny ADE20K, whose layout the settings can name: sky above a wall, unlabelled at the left, perhaps a tree."""
    monkeypatch.setitem(LAYOUTS, "ade20k", Layout("semantic", "tests.extending.ade20k:open_ade20k"))
    root = tmp_path / "ADEChallengeData2016"
    rng = np.random.default_rng(0)
    for folder, part, count in (("training", "train", 6), ("validation", "val", 2)):
        for kind in ("images", "annotations"):
            (root / kind / folder).mkdir(parents=True)
        for number in range(1, count + 1):
            values = np.full((24, 32), 1, np.uint8)
            values[:12], values[:, :4] = 3, 0
            if number % 2:
                values[8:20, 10:16] = 5
            name = f"ADE_{part}_{number:08d}"
            image = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / "images" / folder / f"{name}.jpg")
            Image.fromarray(values).save(root / "annotations" / folder / f"{name}.png")
    lines = ["Idx\tRatio\tTrain\tVal\tName", *(f"{number}\t0.1\t9\t9\t{name}, {name}s" for number, name in CLASSES)]
    (root / "objectInfo150.txt").write_text("\n".join(lines) + "\n")
    return root


def test_it_is_read_as_published(root: Path) -> None:
    split = open_split("ade20k", root, "train")
    assert len(split) == 6
    assert split.categories == tuple(Category(id=number, name=name) for number, name in CLASSES)
    assert split.labels_of(0) == (WALL, SKY, TREE) and split.labels_of(1) == (WALL, SKY)
    labels = split[0].target.labels
    assert split[0].image.shape == (24, 32, 3)
    assert (labels[0, 0], labels[0, 10], labels[23, 10], labels[10, 12]) == (IGNORE, SKY, WALL, TREE)


def test_it_is_ingested(root: Path, tmp_path: Path) -> None:
    source, task = config.DataSource(format="ade20k", root=root), config.SemanticAnnotation()
    sizes = config.Ingest(num_real=2, num_dev=1)
    figures = ingest(source, sizes, task, (0,), tmp_path / "real")
    assert figures["few_shot_0_images"] == 2 and figures["test_images"] == 2
    categories = [Category(**record) for record in json.loads((tmp_path / "real" / "categories.json").read_text())]
    test = standard_format(task, categories).load(tmp_path / "real", "test")
    assert test[0].caption == "a photo of a wall, a sky, a tree"
    assert test[0].target.category_labels() == (WALL, SKY, TREE)


def test_what_is_missing_is_named(root: Path) -> None:
    (root / "annotations/training/ADE_train_00000002.png").unlink()
    with pytest.raises(DatasetDMError, match=r"1 files.*ADE_train_00000002\.png.*ADEChallengeData2016\.zip"):
        open_split("ade20k", root, "train")


def test_the_embedded_world_says_that_it_has_no_such_export(tmp_path: Path, root: Path) -> None:
    world = config.Miniworld(num_train=4, num_val=2)
    source = config.DataSource(format="ade20k", root=tmp_path / "world", miniworld=world)
    with pytest.raises(DatasetDMError, match=r"no export in the layout 'ade20k'.*remove `source\.miniworld`"):
        ingest(source, config.Ingest(num_real=2, num_dev=1), config.SemanticAnnotation(), (0,), tmp_path / "real")

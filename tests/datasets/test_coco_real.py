"""Real COCO images and annotations, where they are at hand."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from datasetdm.datasets.native.coco import open_native_coco
from datasetdm.datasets.standard.coco import CocoSplit, load_coco
from datasetdm.datasets.standard.coco_writing import save_coco

ROOT = Path(__file__).parents[3] / "shared" / "realdata" / "COCO2017"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason=f"real COCO samples are not at {ROOT}")


@pytest.fixture(scope="module")
def val() -> CocoSplit:
    return open_native_coco(ROOT, "val")


def test_both_splits_open(val: CocoSplit) -> None:
    train = open_native_coco(ROOT, "train")
    assert (len(train), len(val)) == (337, 314)
    assert train.categories == val.categories and len(val.categories) == 80
    assert (val.categories[0].id, val.categories[79].id) == (1, 90)
    assert (train.report.annotations, val.report.annotations) == (2838, 2509)
    assert not train.report.rejected and not train.report.clipped
    assert sum(bool(train.captions_of(index)) for index in range(len(train))) == 130
    assert all(len(val.captions_of(index)) >= 5 for index in range(len(val)))
    assert sum(not train.labels_of(index) for index in range(len(train))) >= 3


def test_masks_are_those_of_pycocotools(val: CocoSplit) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        official = COCO(str(val.annotation_file))
    kinds = set()
    for index in range(0, len(val), 5):
        annotations = official.loadAnns(official.getAnnIds(imgIds=[val.image_ids[index]]))
        target = val.target_of(index)
        assert len(target) == len(annotations)
        for mask, label, crowd, annotation in zip(target.masks, target.labels, target.crowd, annotations, strict=True):
            assert np.array_equal(mask, official.annToMask(annotation))
            assert val.categories[label].id == annotation["category_id"] and crowd == annotation["iscrowd"]
            segmentation = annotation["segmentation"]
            kinds.add(type(segmentation if isinstance(segmentation, list) else segmentation["counts"]).__name__)
    assert kinds == {"list", "str"}


def test_a_part_reads_back_equal(val: CocoSplit, tmp_path: Path) -> None:
    part = [val[index] for index in range(0, len(val), 40)]
    save_coco(tmp_path / "part.json", val.images_dir, part, val.categories)
    read = load_coco(tmp_path / "part.json", val.images_dir)
    for before, after in zip(part, read, strict=True):
        assert (before.name, before.caption, before.image_id) == (after.name, after.caption, after.image_id)
        assert np.array_equal(before.target.masks, after.target.masks)
        assert np.array_equal(before.target.labels, after.target.labels)
        assert np.array_equal(before.image, after.image)

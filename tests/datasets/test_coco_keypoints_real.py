"""Real COCO keypoints, where they are at hand."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from datasetdm.annotations.persons import KEYPOINTS, SKELETON
from datasetdm.datasets.native.coco import open_native_coco_keypoints
from datasetdm.datasets.standard.coco_keypoints import CocoKeypointSplit, load_coco_keypoints, save_coco_keypoints

ROOT = Path(__file__).parents[3] / "shared" / "realdata" / "COCO2017"
FILE = ROOT / "annotations" / "person_keypoints_val2017.json"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"real COCO keypoints are not at {FILE}")


@pytest.fixture(scope="module")
def val() -> CocoKeypointSplit:
    return open_native_coco_keypoints(ROOT, "val")


@pytest.fixture(scope="module")
def train() -> CocoKeypointSplit:
    return open_native_coco_keypoints(ROOT, "train")


def test_both_splits_open(train: CocoKeypointSplit, val: CocoKeypointSplit) -> None:
    assert (len(train), len(val)) == (130, 128)
    assert [category.name for category in val.categories] == ["person"]
    assert sum(len(train.target_of(index)) for index in range(len(train))) == 271
    assert not any(train.rejections_of(index) for index in range(len(train)))
    assert sum(len(train.labels_of(index)) for index in range(len(train))) == 271 - 128


def test_persons_are_those_of_pycocotools(train: CocoKeypointSplit) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        official = COCO(str(train.annotation_file))
    assert official.cats[1]["keypoints"] == list(KEYPOINTS)
    assert official.cats[1]["skeleton"] == [list(pair) for pair in SKELETON]
    crowds = 0
    for index in range(len(train)):
        target = train.target_of(index)
        annotations = official.loadAnns(official.getAnnIds(imgIds=[train.id_of(index)]))
        assert len(target) == len(annotations)
        for number, annotation in enumerate(annotations):
            np.testing.assert_array_equal(target.keypoints[number].ravel(), annotation["keypoints"])
            np.testing.assert_array_equal(target.boxes[number], np.float32(annotation["bbox"]))
            np.testing.assert_array_equal(target.masks[number], official.annToMask(annotation))
            assert target.crowd[number] == annotation["iscrowd"]
            crowds += annotation["iscrowd"]
    assert crowds == 8


def test_a_part_reads_back_equal(val: CocoKeypointSplit, tmp_path: Path) -> None:
    part = [val[index] for index in range(0, len(val), 16)]
    save_coco_keypoints(tmp_path / "part.json", val.images_dir, part, val.categories)
    read = load_coco_keypoints(tmp_path / "part.json", val.images_dir)
    for before, after in zip(part, read, strict=True):
        assert (before.name, before.caption, before.image_id) == (after.name, after.caption, after.image_id)
        np.testing.assert_array_equal(before.image, after.image)
        for name in ("keypoints", "boxes", "masks", "crowd", "scores"):
            np.testing.assert_array_equal(getattr(before.target, name), getattr(after.target, name))

"""The export is COCO's native layout, the same bytes every time, complete or absent."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from datasetdm.errors import DatasetDMError
from datasetdm.miniworld import DISTRIBUTIONS, export_coco

NUM_TRAIN, NUM_VAL = 60, 12


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export") / "coco"
    export_coco(root, num_train=NUM_TRAIN, num_val=NUM_VAL, seed=0)
    return root


def _digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.md5(path.read_bytes()).hexdigest() for path in files}


def test_layout(exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == ["annotations", "train2017", "val2017"]
    assert len(list((exported / "train2017").glob("*.jpg"))) == NUM_TRAIN
    assert len(list((exported / "val2017").glob("*.jpg"))) == NUM_VAL
    assert (exported / "train2017" / "000000000001.jpg").is_file()
    names = {
        f"{kind}_{split}2017.json"
        for kind in ("instances", "person_keypoints", "captions")
        for split in ("train", "val")
    }
    assert {path.name for path in (exported / "annotations").iterdir()} == names
    assert not [path for path in exported.parent.iterdir() if path != exported]


def test_pycocotools_loads_instances(exported: Path) -> None:
    coco = COCO(exported / "annotations" / "instances_train2017.json")
    assert len(coco.imgs) == NUM_TRAIN
    assert {c["name"] for c in coco.loadCats(coco.getCatIds())} == set(DISTRIBUTIONS["coco"].categories)
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert mask.shape == (128, 128)
        assert mask.sum() == annotation["area"] >= 20
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        assert annotation["iscrowd"] == 0
        assert annotation["category_id"] in coco.cats
    for image in coco.imgs.values():
        picture = cv2.imread(str(exported / "train2017" / image["file_name"]))
        assert picture is not None
        assert picture.shape == (image["height"], image["width"], 3)


def test_person_keypoints(exported: Path) -> None:
    pose = COCO(exported / "annotations" / "person_keypoints_train2017.json")
    instances = COCO(exported / "annotations" / "instances_train2017.json")
    assert set(pose.anns) == set(instances.getAnnIds(catIds=[1]))
    assert len(pose.anns) > 0
    assert len(pose.cats[1]["keypoints"]) == 17
    for annotation in pose.anns.values():
        flags = annotation["keypoints"][2::3]
        assert len(flags) == 17
        assert set(flags) <= {0, 1, 2}
        assert annotation["num_keypoints"] == sum(flag > 0 for flag in flags)


def test_five_captions_per_image(exported: Path) -> None:
    captions = COCO(exported / "annotations" / "captions_val2017.json")
    assert all(len(captions.getAnnIds(imgIds=[image_id])) == 5 for image_id in captions.imgs)
    assert len(captions.imgs) == NUM_VAL


def test_train_and_val_share_nothing(exported: Path) -> None:
    train, val = (
        json.loads((exported / "annotations" / f"instances_{split}2017.json").read_text()) for split in ("train", "val")
    )
    for key in ("images", "annotations"):
        assert not {record["id"] for record in train[key]} & {record["id"] for record in val[key]}
    digests = _digests(exported)
    pictures = [digest for name, digest in digests.items() if name.endswith(".jpg")]
    assert len(set(pictures)) == len(pictures)


def test_same_arguments_same_bytes_and_prefix(exported: Path, tmp_path: Path) -> None:
    """A smaller export holds the first images of a larger one; written twice, it is the same and replaces itself."""
    root = tmp_path / "again"
    export_coco(root, num_train=4, num_val=2, seed=0)
    first = _digests(root)
    export_coco(root, num_train=4, num_val=2, seed=0)
    assert _digests(root) == first
    large = _digests(exported)
    assert all(large[name] == digest for name, digest in first.items() if name.endswith(".jpg"))
    export_coco(root, num_train=4, num_val=2, seed=1)
    assert _digests(root) != first
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


def test_other_folders_and_bad_arguments_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetDMError, match="something other"):
        export_coco(tmp_path, num_train=1, num_val=1, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(DatasetDMError, match="negative"):
        export_coco(tmp_path / "new", num_train=-1, num_val=1, seed=0)
    with pytest.raises(DatasetDMError, match="distribution"):
        export_coco(tmp_path / "new", num_train=1, num_val=1, seed=0, distribution="lvis")

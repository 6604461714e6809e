"""LVIS in its native layout: where the files are looked for, and what is told where they are not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasetdm.datasets.native.lvis import open_lvis
from datasetdm.errors import DatasetDMError

URL = "http://images.cocodataset.org/"


@pytest.fixture
def content() -> dict[str, Any]:
    """Three images as in version 1, without a `file_name`; the first of them is one of COCO's training images."""
    images = [("train2017", 5, [4], []), ("val2017", 3, [1, 9], []), ("val2017", 8, [], [4])]
    return {
        "images": [
            {
                "id": image_id,
                "coco_url": f"{URL}{folder}/{image_id:012d}.jpg",
                "height": 12,
                "width": 16,
                "neg_category_ids": negative,
                "not_exhaustive_category_ids": not_exhaustive,
            }
            for folder, image_id, negative, not_exhaustive in images
        ],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 1, "segmentation": [[1, 1, 8, 1, 8, 6, 1, 6]], "area": 35.0},
            {"id": 2, "image_id": 8, "category_id": 4, "segmentation": [[1, 1, 8, 1, 8, 6, 1, 6]], "area": 35.0},
        ],
        "categories": [
            {"id": 4, "name": "bow_(weapon)", "frequency": "r", "synset": "bow.n.04", "synonyms": ["bow"], "def": "-"},
            {"id": 1, "name": "bell_pepper", "frequency": "f", "synset": "bell_pepper.n.02"},
            {"id": 9, "name": "acorn", "frequency": "c", "synset": "acorn.n.01"},
        ],
    }


def write(root: Path, content: Any, name: str, folder: str = "annotations") -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    file = root / folder / name
    file.write_text(json.dumps(content))
    for place in ("train2017/000000000005", "val2017/000000000003", "val2017/000000000008"):
        path = root / f"{place}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((12, 16, 3), 90, dtype=np.uint8)).save(path)
    return file


@pytest.mark.parametrize("folder", [".", "annotations"])
@pytest.mark.parametrize("name", ["lvis_v1_val.json", "lvis_v0.5_val.json"])
def test_samples(content: Any, tmp_path: Path, folder: str, name: str) -> None:
    file = write(tmp_path, content, name, folder)
    split = open_lvis(tmp_path, "val")
    assert split.annotation_file.samefile(file)
    assert split.names == ("val2017/000000000003.jpg", "train2017/000000000005.jpg", "val2017/000000000008.jpg")
    assert [split.name_of(index) for index in range(3)] == [name.replace("/", "_") for name in split.names]
    assert [(category.id, category.noun, category.frequency) for category in split.categories] == [
        (1, "bell pepper", "f"),
        (4, "bow (weapon)", "r"),
        (9, "acorn", "c"),
    ]
    targets = [sample.target for sample in split]
    assert [target.labels.tolist() for target in targets] == [[], [0], [1]]
    assert [target.judged for target in targets] == [(0, 2), (0, 1), (1,)]
    assert [target.not_exhaustive for target in targets] == [(), (), (1,)]
    assert split.path_of(1) == tmp_path / "train2017" / "000000000005.jpg"


def test_version_1_and_the_whole_split_go_first(content: Any, tmp_path: Path) -> None:
    part = {**content, "images": content["images"][:1], "annotations": []}
    for name in ("lvis_v1_val_part.json", "lvis_v0.5_val.json"):
        write(tmp_path, part, name)
    assert open_lvis(tmp_path, "val").annotation_file.name == "lvis_v0.5_val.json"
    write(tmp_path, content, "lvis_v1_val.json")
    assert len(open_lvis(tmp_path, "val")) == 3


def test_names_of_version_05(content: Any, tmp_path: Path) -> None:
    """Without `coco_url` the names of 2014 lead to the folder of the split, and other names are paths."""
    for image in content["images"]:
        del image["coco_url"]
        image["file_name"] = f"COCO_val2014_{image['id']:012d}.jpg"
    content["images"][0]["file_name"] = "train2017/000000000005.jpg"
    write(tmp_path, content, "lvis_v0.5_val.json")
    names = open_lvis(tmp_path, "val").names
    assert names == ("val2017/000000000003.jpg", "train2017/000000000005.jpg", "val2017/000000000008.jpg")


def test_captions_lie_beside(content: Any, tmp_path: Path) -> None:
    write(tmp_path, content, "lvis_v1_val.json")
    captions = {"val2017/000000000008.jpg": ["a bow", "a weapon"], "train2017/000000000005.jpg": [], "x.jpg": "x"}
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    split = open_lvis(tmp_path, "val")
    assert [split.captions_of(index) for index in range(3)] == [(), (), ("a bow", "a weapon")]
    assert split[2].caption == "a bow"


def test_of_several_parts_the_largest_complete_one_is_taken(content: Any, tmp_path: Path) -> None:
    for count in (1, 2):
        part = {**content, "images": content["images"][1 : 1 + count], "annotations": []}
        write(tmp_path, part, f"lvis_v1_val_{count}.json")
    content["images"].append({**content["images"][0], "id": 77, "coco_url": f"{URL}val2017/000000000077.jpg"})
    write(tmp_path, content, "lvis_v1_val_all.json")
    assert open_lvis(tmp_path, "val").annotation_file.name == "lvis_v1_val_2.json"


def test_what_is_missing_is_told(content: Any, tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError, match=r"none is missing\. Get lvis_v1_train\.json\.zip .*source\.root"):
        open_lvis(tmp_path / "none", "train")
    write(tmp_path, content, "lvis_v1_val.json")
    with pytest.raises(DatasetDMError, match=r"lvis_v1_train\.json is missing\. Get lvis_v1_train"):
        open_lvis(tmp_path, "train")
    (tmp_path / "train2017" / "000000000005.jpg").unlink()
    with pytest.raises(
        DatasetDMError, match=r"lacks 1 of the 3 images .*\(train2017/000000000005\.jpg\).*val2017\.zip"
    ):
        open_lvis(tmp_path, "val")
    (tmp_path / "train2017").rmdir()
    with pytest.raises(DatasetDMError, match="lacks 1 of the 3 images"):
        open_lvis(tmp_path, "val")
    write(tmp_path, {**content, "images": [], "annotations": []}, "lvis_v1_val.json")
    with pytest.raises(DatasetDMError, match="lists no images"):
        open_lvis(tmp_path, "val")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"coco_url": "http://../x.jpg"}, "plain relative path"),
        ({"coco_url": "http://x/"}, "lacks 1 of the 3"),
        ({"coco_url": ""}, "plain relative path"),
        ({"coco_url": 7}, "has no 'file_name'|not text"),
        ({"coco_url": None, "file_name": "/etc/passwd"}, "plain relative path"),
        ({"coco_url": None, "file_name": "COCO_val2014_"}, "plain relative path|lacks 1"),
        ({"coco_url": None, "file_name": ["a"]}, "not text"),
        ({"coco_url": f"{URL}val2017/000000000003.jpg"}, "is used twice"),
        ({"neg_category_ids": [2]}, "has 2 in 'neg_category_ids'"),
        ({"neg_category_ids": {}}, "not a list"),
    ],
)
def test_bad_image_records_are_told(content: Any, tmp_path: Path, change: Any, says: str) -> None:
    content["images"][0] |= change
    file = write(tmp_path, content, "lvis_v1_val.json")
    with pytest.raises(DatasetDMError, match=says) as error:
        open_lvis(tmp_path, "val")
    assert str(file) in str(error.value)


def test_records_that_are_none_are_told(content: Any, tmp_path: Path) -> None:
    content["images"][0] = 5
    write(tmp_path, content, "lvis_v1_val.json")
    with pytest.raises(DatasetDMError, match="is not a record"):
        open_lvis(tmp_path, "val")

"""The images of a set without its labels, whatever the format."""

import json
from pathlib import Path

import numpy as np
import pytest

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Sample
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.datasets.standard.coco_writing import save_coco
from datasetdm.datasets.standard.maps import save_maps
from datasetdm.datasets.standard.semantic_png import SEMANTIC_PNG
from datasetdm.datasets.standard.unlabelled import load_unlabelled
from datasetdm.errors import DatasetDMError

CATEGORIES = (Category(id=3, name="cat"),)
IMAGE = np.full((4, 6, 3), 90, dtype=np.uint8)


def save(root: Path, kind: str) -> None:
    if kind == "objects":
        target = Instances.of(np.ones((1, 4, 6), dtype=bool), np.zeros(1, dtype=np.int64))
        sample = Sample(name="a.png", image=IMAGE, caption="a cat", target=target, image_id=7)
        save_coco(root / "annotations" / "oracle.json", root / "images", [sample], CATEGORIES)
    else:
        target = SemanticMap.of(np.zeros((4, 6)))
        sample = Sample(name="a.png", image=IMAGE, caption="a cat", target=target, image_id=7)
        save_maps(root, "oracle", [sample], CATEGORIES, SEMANTIC_PNG)


@pytest.mark.parametrize("kind", ["objects", "map"])
def test_pixels_and_caption_are_read_and_labels_need_not_be_there(tmp_path: Path, kind: str) -> None:
    save(tmp_path, kind)
    before = load_unlabelled(tmp_path, "oracle")
    assert [image.identity[:3] for image in before] == [("a.png", "a cat", 7)]
    np.testing.assert_array_equal(before[0].read(), IMAGE)
    file = tmp_path / "annotations" / "oracle.json"
    images = json.loads(file.read_text())["images"]
    file.write_text(json.dumps({"images": images}))
    for path in (tmp_path / "maps").rglob("*.png"):
        path.unlink()
    assert load_unlabelled(tmp_path, "oracle") == before


def test_a_missing_image_and_a_broken_list_are_named(tmp_path: Path) -> None:
    save(tmp_path, "objects")
    (tmp_path / "images/a.png").unlink()
    with pytest.raises(DatasetDMError, match=r"lacks a\.png"):
        load_unlabelled(tmp_path, "oracle")
    (tmp_path / "annotations/oracle.json").write_text('{"images": [{"id": 1}]}')
    with pytest.raises(DatasetDMError, match="no list of images"):
        load_unlabelled(tmp_path, "oracle")

"""Real VOC images and masks, where they are at hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.native.voc import open_voc
from datasetdm.datasets.standard.maps import load_maps, save_maps
from datasetdm.datasets.standard.semantic_png import SEMANTIC_PNG

ROOT = Path(__file__).parents[3] / "shared" / "realdata" / "PascalVOC12"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason=f"real VOC samples are not at {ROOT}")


def test_both_splits_read_as_they_are() -> None:
    splits = {split: open_voc(ROOT, split) for split in ("train", "val")}
    assert {split: len(data) for split, data in splits.items()} == {"train": 8, "val": 5}
    for data in splits.values():
        for index, sample in enumerate(data):
            mask = np.asarray(Image.open(ROOT / "SegmentationClass" / f"{Path(sample.name).stem}.png"))
            np.testing.assert_array_equal(sample.target.labels, mask)
            assert sample.image.shape == (*mask.shape, 3)
            assert set(data.labels_of(index)) == set(np.unique(mask).tolist()) - {0, IGNORE}
    names = [category.name for category in splits["train"].categories]
    assert [names[label] for label in splits["train"].labels_of(0)] == ["aeroplane", "person"]


def test_palette_and_index_masks_are_the_same(tmp_path: Path) -> None:
    for name in ("JPEGImages", "SegmentationClass", "ImageSets"):
        (tmp_path / name).symlink_to(ROOT / name, target_is_directory=True)
    palette, index = open_voc(tmp_path, "train"), open_voc(ROOT, "train")
    assert {entry.annotation.parent.name for entry in palette.entries} == {"SegmentationClass"}
    assert {entry.annotation.parent.name for entry in index.entries} == {"SegmentationClassAug"}
    for first, second in zip(palette, index, strict=True):
        np.testing.assert_array_equal(first.target.labels, second.target.labels)


def test_the_standard_layout_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(ROOT / "JPEGImages", target_is_directory=True)
    data = open_voc(ROOT, "val")
    save_maps(tmp_path, "val", data, data.categories, SEMANTIC_PNG)
    for before, after in zip(data, load_maps(tmp_path, "val", SEMANTIC_PNG), strict=True):
        np.testing.assert_array_equal(before.target.labels, after.target.labels)
        assert (before.name, before.image_id) == (after.name, after.image_id)

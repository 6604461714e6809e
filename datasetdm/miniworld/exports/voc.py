"""PASCAL VOC 2012, semantic segmentation.

`JPEGImages/2012_000001.jpg`, `SegmentationClass/2012_000001.png` (palette PNG, 0 = background, 255 = border) and
`ImageSets/Segmentation/{train,val,trainval}.txt`. As the categories are not VOC's, `classes.txt` names them, one per
line in the order of the indices, and `captions.json` holds captions by file name.
"""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasetdm.datasets.native.voc import voc_colours
from datasetdm.miniworld.catalog import THINGS
from datasetdm.miniworld.exports.export import Export, Split, World, write_caption_file, write_picture
from datasetdm.miniworld.rendering import Render
from datasetdm.utils.files import write_text

BORDER = 255

#: What stands about everywhere and is background here; leaves 20 categories of `coco`, as many as VOC has.
_SCENERY = ("tree", "house")


def write_voc(root: Path, world: World) -> None:
    """Writes both splits."""
    (root / "SegmentationClass").mkdir()
    classes = [category.name for category in THINGS if category.name in {*world.categories} - {*_SCENERY}]
    write_text(root / "classes.txt", _lines(["background", *classes]))
    captions: dict[str, list[str]] = {}
    stems: dict[Split, list[str]] = {"train": [], "val": []}
    for split in stems:
        for shot in world.shots(split):
            stem = f"2012_{shot.image_id(split):06d}"
            write_picture(root / "JPEGImages" / f"{stem}.jpg", shot.picture.image)
            mask = Image.fromarray(class_mask(shot.picture, classes))
            mask.putpalette(voc_colours().tobytes())
            mask.save(root / "SegmentationClass" / f"{stem}.png")
            stems[split].append(stem)
            captions[f"{stem}.jpg"] = shot.captions
        write_text(root / "ImageSets" / "Segmentation" / f"{split}.txt", _lines(stems[split]))
    write_text(root / "ImageSets" / "Segmentation" / "trainval.txt", _lines([*stems["train"], *stems["val"]]))
    write_caption_file(root, captions)


export_voc = Export(
    "PASCAL VOC",
    write_voc,
    ("JPEGImages", "SegmentationClass", "ImageSets", "classes.txt", "captions.json"),
    "coco",
)


def class_mask(picture: Render, classes: list[str]) -> NDArray[np.uint8]:
    """H x W indices into the background and `classes`, 255 on a border of one pixel around every object of them."""
    index_of = {category.id: classes.index(category.name) + 1 for category in THINGS if category.name in classes}
    indices = np.zeros(picture.image.shape[:2], np.uint8)
    objects = np.zeros(picture.image.shape[:2], np.uint8)
    for n, (mask, category_id) in enumerate(zip(picture.masks, picture.category_ids.tolist(), strict=True), start=1):
        if category_id in index_of:
            indices[mask], objects[mask] = index_of[category_id], n
    # Nearer objects have higher numbers: the border lies around an object, on what is behind it.
    around = cv2.dilate(objects, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    indices[around != objects] = BORDER
    return indices


def _lines(names: list[str]) -> str:
    return "".join(f"{name}\n" for name in names)

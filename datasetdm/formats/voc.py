"""PASCAL VOC 2012, semantic segmentation, as downloaded (and with the augmented masks, where they are there)."""

from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from datasetdm.errors import DatasetDMError
from datasetdm.formats.listing import find_image, read_captions, read_names, require, require_files
from datasetdm.formats.paths import check_name
from datasetdm.formats.semantic_png import BACKGROUND, label_table, semantic_split
from datasetdm.formats.split import Entry, FileSplit
from datasetdm.structures import IGNORE, Category

VOC_DOWNLOAD = (
    "Get VOCtrainval_11-May-2012.tar from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ and unpack it; "
    "`source.root` in params.yaml is its folder VOCdevkit/VOC2012, with JPEGImages, SegmentationClass (or "
    "SegmentationClassAug) and ImageSets/Segmentation in it."
)

#: The official order; names that the devkit joins ("pottedplant") are written as in a prompt.
VOC_NAMES: tuple[str, ...] = (
    BACKGROUND,
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor"),
)
BORDER = 255  # outlines of objects and what is too difficult to tell
IMAGES, MASKS = "JPEGImages", ("SegmentationClassAug", "SegmentationClass")


def open_voc(root: Path, split: Literal["train", "val"]) -> FileSplit:
    """Open a split of VOC 2012, or of anything in its layout.

    Reads the list `ImageSets/Segmentation/<split>.txt` (else `splits/<split>.txt` or `splits/<split>_aug.txt`), the
    images in `JPEGImages/` and, of each, the mask in `SegmentationClassAug/` where it is there, else in
    `SegmentationClass/`: palette or grey PNG, 255 = border (`IGNORE`). Labels are the indices of the masks: the
    background and the 20 classes. At the root there may be `classes.txt`, names of other categories by index, one per
    line, the background first; and `captions.json`, `{file name: [captions]}`.

    Raises:
        DatasetDMError: what is missing and where to get it; or lists, names and captions that cannot be used.
    """
    list_file = _find_list(root, split)
    folders = [root / folder for folder in MASKS]
    require([root, root / IMAGES, next((path for path in folders if path.exists()), folders[-1])], VOC_DOWNLOAD)
    require([list_file], VOC_DOWNLOAD)
    captions = read_captions(root / "captions.json")
    entries = [_entry(root, _stem(line, list_file), captions) for line in read_names(list_file, VOC_DOWNLOAD)]
    require_files(entries, list_file, VOC_DOWNLOAD)
    categories = _categories(root / "classes.txt")
    table = label_table({**{label: label for label in range(len(categories))}, BORDER: IGNORE})
    return semantic_split(list_file, categories, entries, table, colours=voc_colours())


def voc_colours() -> np.ndarray:
    """The colour map of VOC's devkit, uint8, 256 x 3: bits of the index, spread over the three channels."""
    index = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def _find_list(root: Path, split: str) -> Path:
    official = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    lists = [official, root / "splits" / f"{split}.txt", root / "splits" / f"{split}_aug.txt"]
    return next((path for path in lists if path.is_file()), official)


def _stem(line: str, list_file: Path) -> str:
    """The image's name in a line: `2007_000032`, or paths of image and mask below the root, as some lists have it."""
    paths = [PurePosixPath(part) for part in line.split()]
    stems = {path.stem if path.suffix else path.name for path in paths}
    known = all(path.parent.name in ("", IMAGES, *MASKS) for path in paths)
    if len(paths) > 2 or len(stems) > 1 or not known:
        raise DatasetDMError(f"{list_file}: the line {line!r} is no image name such as 2007_000032; correct it.")
    stem = stems.pop()
    check_name(stem, where=str(list_file))
    return stem


def _entry(root: Path, stem: str, captions: dict[str, tuple[str, ...]]) -> Entry:
    image = find_image(root / IMAGES, stem)
    masks = [root / folder / f"{stem}.png" for folder in MASKS]
    mask = next((path for path in masks if path.is_file()), masks[-1])
    return Entry(name=image.name, image=image, annotation=mask, captions=captions.get(image.name, ()))


def _categories(file: Path) -> tuple[Category, ...]:
    names = VOC_NAMES
    if file.exists():
        names = tuple(read_names(file, "Write one category per line, or remove it for VOC's own."))
        if names[0] != BACKGROUND or len(set(names)) < len(names) or len(names) > BORDER:
            raise DatasetDMError(
                f"{file} has to begin with '{BACKGROUND}' (index 0) and to name each of at most {BORDER} categories "
                "once, one per line."
            )
    return tuple(Category(id=label, name=name) for label, name in enumerate(names))

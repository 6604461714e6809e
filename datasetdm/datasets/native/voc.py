"""PASCAL VOC 2012, semantic segmentation, as downloaded (with the augmented masks, where they are there), and own data
in the same layout, as labelme and CVAT export them."""

import logging
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.datasets.native.evidence import some_maps
from datasetdm.datasets.native.index_png import (
    UnknownValues,
    read_semantic_map,
    semantic_split,
    values_in,
)
from datasetdm.datasets.native.listing import (
    Finder,
    captions_of,
    read_captions,
    read_names,
    require,
    require_files,
    without_suffix,
)
from datasetdm.datasets.native.voc_names import BORDER, VOC_NAMES, Legend, read_legend, voc_colours
from datasetdm.datasets.split import Entry, FileSplit
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import is_colour_png, read_colours, read_map, read_palette
from datasetdm.utils.paths import check_name

__all__ = ["BORDER", "VOC_NAMES", "open_voc", "read_mask", "voc_colours"]

log = logging.getLogger(__name__)

VOC_DOWNLOAD = (
    "Get VOCtrainval_11-May-2012.tar from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ and unpack it; "
    "`source.root` in params.yaml is its folder VOCdevkit/VOC2012, with JPEGImages, SegmentationClass (or "
    "SegmentationClassAug) and ImageSets/Segmentation in it."
)
OWN_DATA = (
    "A data set in VOC's layout has images in JPEGImages (in CVAT: export with 'Save images'), masks in "
    "SegmentationClass, and one image name per line in ImageSets/Segmentation/train.txt and val.txt."
)
IMAGES, MASKS = "JPEGImages", ("SegmentationClassAug", "SegmentationClassPNG", "SegmentationClass")
_LIST_NAMES = {"train": ("train", "Train"), "val": ("val", "Val", "validation", "Validation", "valid")}
OFFICIAL_NAME = re.compile(r"\d{4}_\d{6}|\d{6}")  # 2007_000032 of VOC 2012, 000032 of VOC 2007
_SHOWN = 3


def open_voc(root: Path, split: Literal["train", "val"]) -> FileSplit:
    """Open a split of VOC 2012, or of anything in its layout.

    Reads the list `ImageSets/Segmentation/<split>.txt` (else `splits/<split>.txt` or `splits/<split>_aug.txt`), the
    images in `JPEGImages/` and, of each, the mask in `SegmentationClassAug/` where it is there, else in
    `SegmentationClassPNG/` or `SegmentationClass/`: palette or grey PNG, 255 = border (`IGNORE`). The pixel values are
    the background and VOC's 20 classes, or what `classes.txt`, `class_names.txt` or `labelmap.txt` at the root says;
    the last one also gives the colours of masks in RGB (see `voc_names`). At the root there may be `captions.json`,
    `{file name: [captions]}`.

    Raises:
        DatasetDMError: what is missing and where to get it; lists, names and captions that cannot be used; images that
            are not VOC's, without names; masks of 0 and 255 alone.
    """
    legend = read_legend(root)
    remedy = VOC_DOWNLOAD if legend.file is None else OWN_DATA
    list_file = _find_list(root, split)
    folders = [root / folder for folder in MASKS]
    require([root, root / IMAGES, next((path for path in folders if path.exists()), folders[-1])], remedy)
    require([list_file], remedy + _other_lists(list_file))
    captions, finder = read_captions(root / "captions.json"), Finder()
    entries = [_entry(root, line, list_file, finder, captions) for line in read_names(list_file, remedy)]
    require_files(entries, list_file, remedy)
    if legend.file is None:
        _check_official(list_file, entries)
    _check_not_binary(list_file, entries)
    return semantic_split(list_file, legend.categories, entries, partial(read_mask, legend=legend))


def _find_list(root: Path, split: Literal["train", "val"]) -> Path:
    official = root / "ImageSets" / "Segmentation"
    lists = [official / f"{name}.txt" for name in _LIST_NAMES[split]]
    lists += [root / "splits" / f"{split}.txt", root / "splits" / f"{split}_aug.txt"]
    return next((path for path in lists if path.is_file()), lists[0])


def _other_lists(list_file: Path) -> str:
    """What else lies where the list should be: CVAT writes a single `default.txt`."""
    others = sorted(path.name for path in list_file.parent.glob("*.txt"))
    return f" There is {', '.join(others[:_SHOWN])}: divide it into train.txt and val.txt." if others else ""


def _entry(root: Path, line: str, list_file: Path, finder: Finder, captions: dict[str, tuple[str, ...]]) -> Entry:
    images = {stem: finder.image(root / IMAGES, stem) for stem in _stems(line, list_file)}
    stem = next((stem for stem, image in images.items() if image.is_file()), next(iter(images)))
    image = images[stem]
    masks = [finder.file(root / folder, f"{stem}.png") for folder in MASKS]
    mask = next((path for path in masks if path.is_file()), masks[-1])
    return Entry(name=image.name, image=image, annotation=mask, captions=captions_of(captions, image.name))


def _stems(line: str, list_file: Path) -> list[str]:
    """What a line may mean by the image's name, the likeliest first.

    `2007_000032`, `2007_000032.jpg`, `/JPEGImages/2007_000032.jpg /SegmentationClass/2007_000032.png`, `my photo` or
    `"my photo"` (so CVAT writes blanks), `street_jpg.rf.06d5`.
    """
    whole = line[1:-1] if len(line) > 2 and line[0] == line[-1] == '"' else line
    stems = [*_stems_of_paths(line.split()), *_stems_of_paths([whole])]
    if not stems:
        raise DatasetDMError(f"{list_file}: the line {line!r} is no image name such as 2007_000032; correct it.")
    for stem in stems:
        check_name(stem, where=str(list_file))
    return stems


def _stems_of_paths(texts: Sequence[str]) -> list[str]:
    """The name that an image and its mask have in common, less the suffix, then with it; none if they have none."""
    paths = [PurePosixPath(text) for text in texts]
    stems = {without_suffix(path.name) for path in paths}
    known = all(path.parent.name in ("", IMAGES, *MASKS) for path in paths)
    return [*stems, paths[0].name] if known and len(paths) <= 2 and len(stems) == 1 else []


def _check_official(list_file: Path, entries: Sequence[Entry]) -> None:
    """Own images must not get VOC's names."""
    others = [entry.name for entry in entries if not OFFICIAL_NAME.fullmatch(entry.image.stem)]
    if others:
        some = ", ".join(others[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
        raise DatasetDMError(
            f"{list_file} lists {len(others)} images that are not VOC's own ({some}), and nothing says what the pixel "
            f"values of their masks stand for: with VOC's names, 1 would become '{VOC_NAMES[1]}' and 2 "
            f"'{VOC_NAMES[2]}'. Put labelme's class_names.txt, CVAT's labelmap.txt, or classes.txt (a name per line, "
            f"'{BACKGROUND}' first) into the folder that `source.root` in params.yaml names. Where the masks do have "
            "VOC's 20 classes, write those into classes.txt."
        )
    if any("_" not in entry.image.stem for entry in entries):
        log.warning("%s: without classes.txt the pixel values are taken for VOC's own classes.", list_file)


def _check_not_binary(list_file: Path, entries: Sequence[Entry]) -> None:
    """Masks of object (255) and background (0) alone would have no category at all: 255 is the border."""
    seen: set[int] = set()
    for values in some_maps(entries, bits=8):
        seen.update(values_in(values).tolist())
        if not seen <= {0, BORDER}:
            return
    if BORDER in seen:
        raise DatasetDMError(
            f"{list_file}: none of its masks has a pixel value but 0 and 255, and 255 is the border of objects, which "
            "is not learnt. If they are binary masks, write the number of the category in place of 255, and the names "
            "of the categories into classes.txt."
        )


def read_mask(path: Path, legend: Legend) -> SemanticMap:
    """A mask in indices or in colours, as its legend says.

    Raises:
        UnknownValues: a value or colour that stands for no category.
        DatasetDMError: missing, damaged, of another kind, or renumbered by a picture editor.
    """
    named = legend.file.name if legend.file else "classes.txt"
    if is_colour_png(path):
        if not legend.labels_of_colours:
            raise DatasetDMError(
                f"{path} is a picture in colours, and there is no labelmap.txt that says which colour is which "
                "category: add the one of the export (lines such as 'dog:250,50,83::'), or use indexed or grey PNG."
            )
        return _by_colour(path, read_colours(path), legend)
    palette = read_palette(path) if legend.labels_of_colours else None
    if palette is not None:
        used = values_in(read_map(path, bits=8))
        if all(tuple(palette[value].tolist()) in legend.labels_of_colours for value in used if value < len(palette)):
            return _by_colour(path, read_colours(path), legend)
    return read_semantic_map(
        path,
        legend.table,
        colours=legend.colours,
        remedy=f"Add the missing names to {named}, or correct the masks.",
    )


def _by_colour(path: Path, colours: np.ndarray, legend: Legend) -> SemanticMap:
    codes = _code(colours)
    labels = np.full(codes.shape, IGNORE, dtype=np.uint8)
    unknown = np.ones(codes.shape, dtype=bool)
    for colour, label in legend.labels_of_colours.items():
        here = codes == _code(np.array(colour))
        labels[here] = label
        unknown &= ~here
    if unknown.any():
        raise UnknownValues(
            path,
            [f"({code >> 16}, {code >> 8 & 255}, {code & 255})" for code in np.unique(codes[unknown]).tolist()],
            f"Add the missing colours to {legend.file}. Colours in between those of two categories come from a picture "
            "that was resized or saved as JPEG: export the masks again.",
        )
    return SemanticMap.of(labels)


def _code(colours: np.ndarray) -> np.ndarray:
    """One number for each colour in the last axis."""
    red, green, blue = (colours[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue

"""What the pixels of masks in VOC's layout stand for: VOC's own 20 classes, or names that lie beside the masks.

Three files at the root are read, each with the background among its lines:
`classes.txt`: a name per line, in the order of the pixel values, the background (0) first;
`class_names.txt` of labelme's `labelme2voc.py`: the same, with `_background_`;
`labelmap.txt` of CVAT (and Datumaro): `name:r,g,b:parts:actions` per line, in any order.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.native.index_png import label_table
from datasetdm.datasets.native.listing import read_names
from datasetdm.errors import DatasetDMError

#: The official order; names that the devkit joins ("pottedplant") are written as in a prompt.
VOC_NAMES: tuple[str, ...] = (
    BACKGROUND,
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor"),
)
BORDER = 255  # outlines of objects and what is too difficult to tell
BORDER_COLOUR = (224, 224, 192)  # the same, in a mask of colours
_BACKGROUNDS = (BACKGROUND, "_background_", "__background__")
_VOIDS = ("__ignore__", "_ignore_", "ignore", "ignored", "_void_", "void")  # neither learnt nor counted
_LABELMAP_LINE = re.compile(r"(?P<name>.*?):(?P<colour>\d{1,3},\d{1,3},\d{1,3})?(:.*)?")


@dataclass(frozen=True)
class Legend:
    """What pixel values and colours stand for.

    Attributes:
        file: where it is written; None for VOC's own.
        categories: in label order.
        table: int64, 256: label (or `IGNORE`) of each pixel value, `UNKNOWN` for all others.
        labels_of_colours: the label (or `IGNORE`) of each (red, green, blue); empty where the file gives no colours.
        colours: uint8, N x 3: the colours of the pixel values.
    """

    file: Path | None
    categories: tuple[Category, ...]
    table: np.ndarray
    labels_of_colours: dict[tuple[int, int, int], int]
    colours: np.ndarray


def read_legend(root: Path, file: Path | None = None) -> Legend:
    """The legend of a data set in VOC's layout; VOC's own where none of the three files is there.

    Args:
        root: the folder that may hold the files.
        file: one of the files, if it lies elsewhere; by any other name it is a list such as `classes.txt`.

    Raises:
        DatasetDMError: a file that cannot be used, or two that say different things.
    """
    if file is not None:
        return _legend(file, *_READERS.get(file.name, _read_list)(file))
    files = [root / name for name in _READERS if (root / name).exists()]
    if not files:
        return _legend(None, VOC_NAMES, {})
    read = {file: _READERS[file.name](file) for file in files}
    first = next((file for file in files if read[file][1]), files[0])  # colours say more
    for other in {*files} - {first}:
        if read[other][0] != read[first][0]:
            raise DatasetDMError(
                f"{first} and {other} name different categories, or name them in another order: remove the one that "
                "does not belong to the masks."
            )
    return _legend(first, *read[first])


def voc_colours() -> np.ndarray:
    """The colour map of VOC's devkit, uint8, 256 x 3: bits of the index, spread over the three channels."""
    index = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((index >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colours


_Colours = dict[int, tuple[int, int, int]]  # by pixel value


def _read_list(file: Path) -> tuple[tuple[str, ...], _Colours]:
    names = [_standard(name) for name in read_names(file, "Write one category per line, the background first.")]
    if names[0] in _VOIDS:  # labelme's own list of labels starts at -1
        names = names[1:]
    if not names or names[0] != BACKGROUND:
        raise DatasetDMError(
            f"{file} has to begin with '{BACKGROUND}' (pixel value 0), and to name the categories of the pixel values "
            "1, 2, ... after it, one per line."
        )
    return tuple(names), {}


def _read_labelmap(file: Path) -> tuple[tuple[str, ...], _Colours]:
    names: list[str] = []
    colours: _Colours = {}
    for line in read_names(file, "Export it again from CVAT, or write lines such as 'dog:250,50,83::'."):
        if line.startswith("#"):
            continue
        match = _LABELMAP_LINE.fullmatch(line)
        colour = match and match["colour"] and tuple(map(int, match["colour"].split(",")))
        if match is None or not match["name"].strip() or (colour and max(colour) > 255):
            raise DatasetDMError(f"{file}: the line {line[:100]!r} is not 'name:red,green,blue:parts:actions'.")
        if colour:
            if colour in colours.values():
                raise DatasetDMError(f"{file}: two categories have the colour {match['colour']}: give one another one.")
            colours[len(names)] = colour
        names.append(_standard(match["name"].strip()))
    if BACKGROUND not in names:
        raise DatasetDMError(f"{file} has no background: add the line '{BACKGROUND}:0,0,0::' as the first one.")
    return tuple(names), colours


_READERS: dict[str, Callable[[Path], tuple[tuple[str, ...], _Colours]]] = {
    "classes.txt": _read_list,
    "class_names.txt": _read_list,
    "labelmap.txt": _read_labelmap,
}


def _standard(name: str) -> str:
    return BACKGROUND if name.lower() in _BACKGROUNDS else name


def _legend(file: Path | None, names: Sequence[str], colours: _Colours) -> Legend:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or len(names) > BORDER:
        raise DatasetDMError(
            f"{file} has to name each of at most {BORDER} categories once"
            + (f", but has {', '.join(twice)} twice." if twice else f", but has {len(names)}.")
        )
    values = [value for value, name in enumerate(names) if name.lower() not in _VOIDS]
    if len(values) < 2:
        raise DatasetDMError(f"{file} names nothing but the background: add the categories of the masks.")
    label_of = {value: label for label, value in enumerate(values)}
    labels = {value: label_of.get(value, IGNORE) for value in range(len(names))}
    by_colour = {colour: labels[value] for value, colour in colours.items()}
    if by_colour:
        by_colour.setdefault(BORDER_COLOUR, IGNORE)
    by_value = _table_of(colours, len(names)) if colours else voc_colours()[: None if file is None else len(names)]
    return Legend(
        file=file,
        categories=tuple(Category(id=value, name=names[value]) for value in values),
        table=label_table({**labels, BORDER: IGNORE}),
        labels_of_colours=by_colour,
        colours=by_value,
    )


def _table_of(colours: _Colours, count: int) -> np.ndarray:
    table = np.zeros((count, 3), dtype=np.uint8)
    for value, colour in colours.items():
        table[value] = colour
    return table

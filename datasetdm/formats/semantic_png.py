"""Semantic maps as index PNG: the standard ones (255 = ignore), and those of data sets with numbers of their own."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from datasetdm.errors import DatasetDMError
from datasetdm.formats.images import read_map, read_palette
from datasetdm.formats.maps import MapCodec
from datasetdm.formats.split import Entry, FileSplit
from datasetdm.structures import IGNORE, Category, SemanticMap

BACKGROUND = "background"  # the category that is learnt and counted as any other, but never asked for by name
UNKNOWN = -1

#: Labels as 8-bit pixel values. Certainty is not written: what was read from a file is an annotation.
SEMANTIC_PNG = MapCodec(encode=lambda target: target.labels, decode=SemanticMap.of, bits=8)


def label_table(labels: dict[int, int]) -> np.ndarray:
    """A table for `semantic_split`, int64 of 256: the label of each pixel value, `UNKNOWN` for all others."""
    table = np.full(256, UNKNOWN, dtype=np.int64)
    table[list(labels)] = list(labels.values())
    return table


def semantic_split(
    annotation_file: Path,
    categories: Sequence[Category],
    entries: Sequence[Entry],
    table: np.ndarray,
    *,
    colours: np.ndarray | None = None,
) -> FileSplit:
    """A split whose annotations are index PNGs.

    `labels_of` an image leaves the background out, so that no caption names it.

    Args:
        annotation_file: what lists the images, for messages.
        categories: in label order.
        entries: the images.
        table: int64, 256: label (or `IGNORE`) of each pixel value; `UNKNOWN` values are refused.
        colours: uint8, 256 x 3, the data set's colour map, if it has one; see `read_semantic_map`.
    """

    def read(entry: Entry) -> SemanticMap:
        return read_semantic_map(entry.annotation, table, colours)

    @cache  # every seed's few-shot set is chosen by them
    def labels_of(entry: Entry) -> tuple[int, ...]:
        present = np.unique(read(entry).labels).tolist()
        return tuple(label for label in present if label != IGNORE and categories[label].name != BACKGROUND)

    return FileSplit(annotation_file, categories, entries, read_target=read, labels_of=labels_of)


def read_semantic_map(path: Path, table: np.ndarray, colours: np.ndarray | None = None) -> SemanticMap:
    """The map in an index PNG of a data set.

    Args:
        path: 8-bit grey or palette PNG.
        table: as in `semantic_split`.
        colours: as in `semantic_split`. A palette PNG that shows a category in the colour of another one was
            renumbered by a picture editor, and would give wrong labels.

    Raises:
        DatasetDMError: missing, damaged, no index PNG, renumbered, or with a value that stands for no category.
    """
    values = read_map(path, bits=8)
    if colours is not None:
        _check_palette(path, np.unique(values), colours)
    labels = table[values]
    if (labels == UNKNOWN).any():
        unknown = ", ".join(map(str, np.unique(values[labels == UNKNOWN])[:5]))
        raise DatasetDMError(
            f"{path} has the pixel value {unknown}, which stands for no category of this data set: put the original "
            "annotation in its place, or take the image out of the list."
        )
    return SemanticMap.of(labels)


def _check_palette(path: Path, used: np.ndarray, colours: np.ndarray) -> None:
    palette = read_palette(path)
    if palette is None:
        return
    for value in used[used < len(palette)]:
        colour = palette[value]
        others = np.flatnonzero((colours == colour).all(axis=1))
        if colour.any() and len(others) and value not in others:  # black is what unset entries are, too
            raise DatasetDMError(
                f"{path} has a palette of its own: index {value} shows the colour of category {others[0]}. A picture "
                "editor has renumbered it; put the original annotation in its place."
            )

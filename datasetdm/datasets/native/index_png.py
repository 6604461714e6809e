"""Semantic maps as index PNG with the pixel values of a data set."""

import logging
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.datasets.split import Entry, FileSplit
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import read_map, read_palette

log = logging.getLogger(__name__)

UNKNOWN = -1
_SHOWN = 5
_ENOUGH = 8  # so many maps with a single category are not a coincidence


class UnknownValues(DatasetDMError):
    """A map with pixel values (or colours, as text) that stand for no category."""

    def __init__(self, path: Path, values: Sequence[str], remedy: str):
        super().__init__(
            f"{path} has the pixel value {', '.join(values[:_SHOWN])}, which stands for no category. {remedy}"
        )
        self.path, self.values, self.remedy = path, values, remedy


def label_table(labels: dict[int, int]) -> np.ndarray:
    """A table for `read_semantic_map`, int64 of 256: the label of each pixel value, `UNKNOWN` for all others."""
    table = np.full(256, UNKNOWN, dtype=np.int64)
    table[list(labels)] = list(labels.values())
    return table


def semantic_split(
    annotation_file: Path,
    categories: Sequence[Category],
    entries: Sequence[Entry],
    read: Callable[[Path], SemanticMap],
) -> FileSplit:
    """A split whose annotations are one PNG per image.

    `labels_of` an image leaves the background out, so that no caption names it. Its first call reads the maps of all
    images, and its error lists all that cannot be used.

    Args:
        annotation_file: what lists the images, for messages.
        categories: in label order.
        entries: the images.
        read: the map in a file, or a DatasetDMError.
    """

    @cache  # the few-shot set of every seed needs them
    def all_labels() -> dict[Path, tuple[int, ...]]:
        labels, problems = {}, []
        for entry in entries:
            try:
                labels[entry.annotation] = _shown(read(entry.annotation), categories)
            except DatasetDMError as error:
                problems.append(error)
        if problems:
            raise _all_at_once(annotation_file, len(entries), problems)
        _warn_of_one_category(annotation_file, categories, list(labels.values()))
        return labels

    return FileSplit(
        annotation_file,
        categories,
        entries,
        read_target=lambda entry: read(entry.annotation),
        labels_of=lambda entry: all_labels()[entry.annotation],
    )


def read_semantic_map(
    path: Path, table: np.ndarray, *, colours: np.ndarray | None = None, remedy: str = ""
) -> SemanticMap:
    """The map in an index PNG of a data set.

    Args:
        path: 8-bit grey or palette PNG.
        table: int64, 256: label (or `IGNORE`) of each pixel value; `UNKNOWN` values are refused.
        colours: uint8, N x 3, the data set's colours by pixel value, if it has any. A palette PNG that shows a category
            in the colour of another one was renumbered by an image editor, and would give wrong labels.
        remedy: what to do about values that stand for no category.

    Raises:
        UnknownValues: a value that stands for no category.
        DatasetDMError: missing, damaged, no index PNG, or renumbered.
    """
    values = read_map(path, bits=8)
    used = values_in(values)
    if colours is not None:
        _check_palette(path, used, colours)
    unknown = used[table[used] == UNKNOWN]
    if len(unknown):
        raise UnknownValues(
            path, list(map(str, unknown.tolist())), remedy or "Correct it, or take the image out of the list."
        )
    return SemanticMap.of(cv2.LUT(values, table.astype(np.uint8)))


def values_in(values: np.ndarray) -> np.ndarray:
    """The different pixel values of an 8-bit map, int64, in order; takes no further memory."""
    return np.flatnonzero(cv2.calcHist([values], [0], None, [256], [0, 256]))


def _shown(target: SemanticMap, categories: Sequence[Category]) -> tuple[int, ...]:
    present = values_in(target.labels).tolist()
    return tuple(label for label in present if label != IGNORE and categories[label].name != BACKGROUND)


def _all_at_once(annotation_file: Path, count: int, problems: Sequence[DatasetDMError]) -> DatasetDMError:
    unknown = [problem for problem in problems if isinstance(problem, UnknownValues)]
    others = [str(problem) for problem in problems if not isinstance(problem, UnknownValues)]
    parts = []
    if unknown:
        values = sorted({value for problem in unknown for value in problem.values}, key=lambda text: (len(text), text))
        names = [problem.path.name for problem in unknown]
        parts.append(
            f"{len(unknown)} of them ({_some(names)}) have pixel values that stand for no category: {_some(values)}. "
            f"{unknown[0].remedy}"
        )
    parts += others[:_SHOWN]
    if len(others) > _SHOWN:
        parts.append(f"And {len(others) - _SHOWN} more.")
    return DatasetDMError(
        f"{len(problems)} of the {count} annotations of {annotation_file} cannot be used. {' '.join(parts)}"
    )


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_SHOWN]) + (f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else "")


def _warn_of_one_category(file: Path, categories: Sequence[Category], labels: Sequence[tuple[int, ...]]) -> None:
    seen = {label for one in labels for label in one}
    possible = sum(category.name != BACKGROUND for category in categories)
    if len(seen) == 1 and possible > 1 and len(labels) >= _ENOUGH:
        log.warning(
            "All %d annotations of %s show a single category, '%s', though the data set has %d. If they only tell "
            "object from background, correct the list of categories.",
            len(labels),
            file,
            categories[seen.pop()].name,
            possible,
        )


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
                "editor has renumbered it: use the annotation as it was exported."
            )

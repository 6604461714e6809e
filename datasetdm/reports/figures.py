"""The images of a set as files next to a page, which loads no more of them than it shows.

A browser lets a page that is opened from disk load scripts, but not data. So each file is a script that hands its
content to the page (`templates/figures.js`): an index with what images are chosen and sorted by, and parts of `PART`
images each with all the rest.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from datasetdm.reports.layers import Layer
from datasetdm.utils.files import write_text

PART = 100  # images
DIGITS = 4  # of a score


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One image of a set.

    Attributes:
        file: relative to the set's root, such as `images/000000.png`.
        size: (width, height) in pixels.
        caption: its prompt or caption.
        layer: its annotation; None if there is none.
        labels: the categories that it shows or was meant to show.
        scores: what the filter gave to its annotation.
        rejected: why it is not used; None if it is.
        origin: how it came about, title -> text.
    """

    file: str
    size: tuple[int, int]
    caption: str
    layer: Layer | None
    labels: tuple[int, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    rejected: str | None = None
    origin: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FigureSet:
    """What a page offers to look at.

    Attributes:
        name: of the folder with its files.
        title: for people.
        root: the path of the set's images, relative to the page.
        count: number of images.
        scores: what the filter gave to its annotations; none if no filter has looked at them.
    """

    name: str
    title: str
    root: str
    count: int
    scores: tuple[str, ...] = ()


def write_figures(folder: Path, name: str, figures: Iterable[Figure], *, title: str, root: str) -> FigureSet:
    """Write a set; images are taken one by one, so that any number will do.

    Args:
        folder: `<folder>/<name>/` gets `index.js` and `part-<number>.js`.
        name: of the set.
        figures: in the order in which they are shown.
        title: see `FigureSet`.
        root: see `FigureSet`.
    """
    labels: list[list[int]] = []
    rejected: list[int] = []
    reasons: dict[str, int] = {}
    scores: dict[str, list[float | None]] = {}
    for number, part in enumerate(_parts(figures)):
        for figure in part:
            labels.append(sorted(figure.labels))
            rejected.append(-1 if figure.rejected is None else reasons.setdefault(figure.rejected, len(reasons)))
            for score, value in figure.scores.items():
                scores.setdefault(score, []).append(_rounded(value))
        _write_script(folder, f"{name}/part-{number:05d}", [_row(figure) for figure in part])
    index = {
        "count": len(labels),
        "part": PART,
        "labels": labels,
        "rejected": rejected,
        "reasons": list(reasons),
        "scores": scores,
    }
    _write_script(folder, f"{name}/index", index)
    return FigureSet(name=name, title=title, root=quote(root), count=len(labels), scores=tuple(scores))


def _parts(figures: Iterable[Figure]) -> Iterator[tuple[Figure, ...]]:
    iterator = iter(figures)
    while part := tuple(islice(iterator, PART)):
        yield part


def _row(figure: Figure) -> dict[str, Any]:
    return {
        "file": quote(figure.file),
        "size": list(figure.size),
        "caption": figure.caption,
        "layer": figure.layer,
        "labels": sorted(figure.labels),
        "scores": {name: _rounded(value) for name, value in figure.scores.items()},
        "rejected": figure.rejected,
        "origin": dict(figure.origin),
    }


def _rounded(value: float) -> float | None:
    return round(float(value), DIGITS) if math.isfinite(value) else None


def _write_script(folder: Path, name: str, content: Any) -> None:
    """Plain ASCII, so that no reader takes it for another encoding."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    write_text(folder / f"{name}.js", f"datasetdm.receive({json.dumps(name)},{text});\n")

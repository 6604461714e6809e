"""Annotations as drawings that a web page lays over their images, and takes off again.

A layer is ready for JSON. All parts are optional, and measured in pixels of the image: `areas` (`colour`, a path `d` in
SVG's notation, `size`, and a `text` at `x`, `y`), `lines` (`colour`, `d`), `dots` (`colour`, `x`, `y`), `ignored` (a
path) and `picture` (a data URL of an image). A colour is a number of `palette` or a CSS colour.
"""

import base64
import io
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import cv2
import numpy as np
from PIL import Image

from datasetdm.annotations.annotation import Pictured
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.reports.overlays import object_text, shown_labels
from datasetdm.reports.paint import core_of, fit_colours, palette, top_of
from datasetdm.reports.skeletons import COLOURS, joints, limbs, person_text

PICTURE_SIDE = 192  # pixels of the longer side of an annotation that is a picture
FINENESS = 400  # an outline is at most 1 / FINENESS of the image's longer side off

Layer = dict[str, Any]


@singledispatch
def layer(target: Any, categories: Sequence[Category]) -> Layer:
    """The drawing of an annotation of any kind.

    Args:
        target: the annotation.
        categories: in label order.
    """
    if isinstance(target, Pictured):
        picture = target.picture()
        return {"picture": _data_url(fit_colours(picture, min(PICTURE_SIDE, max(picture.shape))))}
    raise TypeError(f"{type(target).__name__} is not an annotation")


@layer.register
def _instances(target: Instances, categories: Sequence[Category]) -> Layer:
    texts = [object_text(categories[label], score) for label, score in zip(target.labels, target.scores, strict=True)]
    return {"areas": _objects(target, target.labels.tolist(), texts)}


@layer.register
def _semantic_map(target: SemanticMap, categories: Sequence[Category]) -> Layer:
    areas = []
    for label in shown_labels(target, categories):
        area = target.labels == label
        areas.append(_area(area, label, categories[label].noun, core_of(area)))
    ignored = target.labels == IGNORE
    return {"areas": areas, **({"ignored": outline(ignored)} if ignored.any() else {})}


@layer.register
def _persons(target: Persons, categories: Sequence[Category]) -> Layer:
    texts = [person_text(score, crowd) for score, crowd in zip(target.scores, target.crowd, strict=True)]
    lines, dots = [], []
    for points in target.keypoints:
        for side, ends in limbs(points):
            (x1, y1), (x2, y2) = (ends + 0.5).round(1).tolist()
            lines.append({"colour": css_colour(COLOURS[side]), "d": f"M{x1} {y1}L{x2} {y2}"})
        for side, place in joints(points):
            x, y = (place + 0.5).round(1).tolist()
            dots.append({"colour": css_colour(COLOURS[side]), "x": x, "y": y})
    return {"areas": _objects(target, [0] * len(target), texts), "lines": lines, "dots": dots}


def css_colour(colour: Sequence[int] | np.ndarray) -> str:
    """A colour (three numbers from 0 to 255) as CSS has it."""
    return "#" + "".join(f"{int(part):02x}" for part in colour)


def css_palette(count: int) -> list[str]:
    """The colours of `count` labels."""
    return [css_colour(colour) for colour in palette(count)]


def outline(area: np.ndarray) -> str:
    """The outlines and holes of an area (bool H x W) as an SVG path, to be filled by the rule `evenodd`."""
    tolerance = max(area.shape) / FINENESS
    found, _ = cv2.findContours(area.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts = []
    for contour in found:
        points = cv2.approxPolyDP(contour, tolerance, closed=True)[:, 0].tolist()
        parts.append("M" + "L".join(f"{x} {y}" for x, y in points) + "Z")
    return "".join(parts)


def _objects(target: Instances | Persons, labels: Sequence[int], texts: Sequence[str]) -> list[dict[str, Any]]:
    return [
        _area(mask, label, text, top_of(mask))
        for mask, label, text in zip(target.masks, labels, texts, strict=True)
        if mask.any()
    ]


def _area(area: np.ndarray, label: int, text: str, place: tuple[int, int]) -> dict[str, Any]:
    x, y = place
    return {"colour": label, "d": outline(area), "text": text, "x": x, "y": y, "size": int(area.sum())}


def _data_url(picture: np.ndarray) -> str:
    """A picture (uint8 H x W x 4) as PNG in 64 colours, a fifth of the size of all colours."""
    stream = io.BytesIO()
    few = Image.fromarray(picture).quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(stream, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()

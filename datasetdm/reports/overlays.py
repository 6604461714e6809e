"""Annotations painted over their images, for people to look at."""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from datasetdm.annotations.annotation import Pictured
from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.reports.paint import core_of, fit, fit_colours, paint_area, palette, top_of, write_all
from datasetdm.reports.skeletons import paint_skeletons, person_text

SIDE = 300  # pixels of the longer side of a picture


@singledispatch
def overlay(target: Any, image: np.ndarray, categories: Sequence[Category], *, side: int = SIDE) -> np.ndarray:
    """The image with its annotation painted over it, or with the picture of it alongside.

    The image is first brought to its final size, so that lettering and outlines are as large on all pictures.

    Args:
        target: an annotation of any kind.
        image: uint8 H x W x 3, which is left as it is.
        categories: in label order; a category has the same colour on all pictures.
        side: pixels of the image's longer side in the picture.
    """
    if isinstance(target, Pictured):
        return np.concatenate([fit(image, side), fit_colours(target.picture(), side)[..., :3]], axis=1)
    raise TypeError(f"{type(target).__name__} is not an annotation")


@overlay.register
def _instances(target: Instances, image: np.ndarray, categories: Sequence[Category], *, side: int = SIDE) -> np.ndarray:
    """Outlines with category and score."""
    texts = [object_text(categories[label], score) for label, score in zip(target.labels, target.scores, strict=True)]
    return _masks(target, target.labels.tolist(), texts, fit(image, side), side)


@overlay.register
def _semantic_map(
    target: SemanticMap, image: np.ndarray, categories: Sequence[Category], *, side: int = SIDE
) -> np.ndarray:
    """Coloured areas with their names; the background is left as it is, ignored pixels are darker."""
    picture, labels = fit(image, side), fit(target.labels, side)
    picture[labels == IGNORE] //= 3
    shown = [label for label in shown_labels(target, categories) if (labels == label).any()]
    for label in shown:
        paint_area(picture, labels == label, palette(label + 1)[label])
    write_all(picture, [(categories[label].noun, core_of(labels == label)) for label in shown])  # above all areas
    return picture


@overlay.register
def _persons(target: Persons, image: np.ndarray, categories: Sequence[Category], *, side: int = SIDE) -> np.ndarray:
    """Skeletons over masks."""
    texts = [person_text(score, crowd) for score, crowd in zip(target.scores, target.crowd, strict=True)]
    picture = _masks(target, [0] * len(target), texts, fit(image, side), side)
    paint_skeletons(picture, target, picture.shape[0] / image.shape[0])
    return picture


def object_text(category: Category, score: float) -> str:
    """The lettering of an object; an annotation by hand has no score."""
    return category.noun + (f" {score:.2f}" if score < 1 else "")


def shown_labels(target: SemanticMap, categories: Sequence[Category]) -> list[int]:
    """The labels in a map that are shown: all but the background."""
    return [label for label in target.category_labels() if categories[label].name != BACKGROUND]


def _masks(
    target: Instances | Persons, labels: Sequence[int], texts: Sequence[str], picture: np.ndarray, side: int
) -> np.ndarray:
    areas = [fit(mask, side) for mask in target.masks]
    for area, label in zip(areas, labels, strict=True):
        paint_area(picture, area, palette(label + 1)[label])
    seen = [(area, text) for area, text in zip(areas, texts, strict=True) if area.any()]
    seen.sort(key=lambda item: -int(item[0].sum()))  # the largest objects keep their lettering where there is no room
    write_all(picture, [(text, top_of(area)) for area, text in seen])
    return picture

"""Annotations painted over their images, for people to look at."""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np

from datasetdm.annotations.annotation import Pictured
from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import KEYPOINT_SCORE, Persons
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.reports.paint import enlarge, paint_labels, paint_masks
from datasetdm.reports.skeletons import paint_persons


@singledispatch
def overlay(target: Any, image: np.ndarray, categories: Sequence[Category]) -> np.ndarray:
    """The image with its annotation painted over it, or with the picture of it alongside; a small image is enlarged.

    Args:
        target: an annotation of any kind.
        image: uint8 H x W x 3, which is left as it is.
        categories: in label order.
    """
    if isinstance(target, Pictured):
        return np.concatenate([enlarge(image), enlarge(target.picture())], axis=1)
    raise TypeError(f"{type(target).__name__} is not an annotation")


@overlay.register
def _instances(target: Instances, image: np.ndarray, categories: Sequence[Category]) -> np.ndarray:
    """Coloured masks with category and score."""
    texts = [
        categories[label].name + (f" {score:.2f}" if score < 1 else "")
        for label, score in zip(target.labels, target.scores, strict=True)
    ]
    return paint_masks(image, target.masks, texts)


@overlay.register
def _semantic_map(target: SemanticMap, image: np.ndarray, categories: Sequence[Category]) -> np.ndarray:
    """Coloured areas with their names; the background is left as it is, ignored pixels are darker."""
    texts = {label: category.name for label, category in enumerate(categories) if category.name != BACKGROUND}
    return paint_labels(image, target.labels, texts, IGNORE)


@overlay.register
def _persons(target: Persons, image: np.ndarray, categories: Sequence[Category]) -> np.ndarray:
    """Skeletons over light masks."""
    return paint_persons(image, target, KEYPOINT_SCORE)

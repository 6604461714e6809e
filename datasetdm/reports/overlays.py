"""Annotations painted over their images, for people to look at."""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import cv2
import numpy as np

from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import KEYPOINT_SCORE, Persons
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.reports.paint import enlarge, paint_labels, paint_masks
from datasetdm.reports.skeletons import paint_persons


@singledispatch
def overlay(target: Any, image: np.ndarray, categories: Sequence[Category]) -> np.ndarray:
    """The image with its annotation painted over it; a small image is enlarged.

    Args:
        target: an annotation of any kind.
        image: uint8 H x W x 3, which is left as it is.
        categories: in label order.
    """
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
def _depth_map(target: DepthMap, image: np.ndarray, categories: Sequence[Category]) -> np.ndarray:
    """The image and its depth side by side, near in warm and far in cold colours, unknown in black."""
    return np.concatenate([enlarge(image), enlarge(colour_depth(target))], axis=1)


@overlay.register
def _persons(target: Persons, image: np.ndarray, categories: Sequence[Category]) -> np.ndarray:
    """Skeletons over light masks."""
    return paint_persons(image, target, KEYPOINT_SCORE)


def colour_depth(target: DepthMap) -> np.ndarray:
    """Depth as a picture, uint8 H x W x 3: from red (nearest) to blue (farthest), black where it is not known.

    The colours follow the inverse of the depth, which shows the ground in front as well as what is far away.
    """
    known = target.valid_mask & np.isfinite(target.depth) & (target.depth > 0)
    picture = np.zeros((*known.shape, 3), dtype=np.uint8)
    if known.any():
        nearness = 1 / target.depth[known]
        far, near = np.percentile(nearness, (2, 98))  # a few outliers must not take up all the colours
        level = np.clip((nearness - far) / max(near - far, 1e-9), 0, 1)
        colours = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_TURBO)
        picture[known] = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB).reshape(-1, 3)
    return picture

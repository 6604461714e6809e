"""COCO's size ranges of objects, for images of any size."""

import math
from typing import Protocol, runtime_checkable

import numpy as np

REFERENCE_SIDE = 640  # the longer side of COCO's images, for which its area ranges were chosen
#: Range -> the side of a square of an object's area, in pixels, below which the object is in it.
SIZES = {"small": 32.0, "medium": 96.0, "large": math.inf}


@runtime_checkable
class Outlined(Protocol):
    """An annotation with a mask for every object: `masks` (bool, N x H x W) and `crowd` (bool, N)."""

    masks: np.ndarray
    crowd: np.ndarray


def size_of(area: float, height: float, width: float) -> str:
    """The range of an object of `area` pixels in an image of that size, as if it were enlarged to COCO's size."""
    side = math.sqrt(area) * REFERENCE_SIDE / max(height, width)
    return next(size for size, below in SIZES.items() if side < below)


def object_sizes(target: object) -> list[str]:
    """The range of each object of an annotation, crowds left out; none if it does not outline objects."""
    if not isinstance(target, Outlined):
        return []
    masks = target.masks[~target.crowd]
    return [size_of(float(mask.sum()), *mask.shape) for mask in masks]

"""Surface normals: the annotation. It would lie in `datasetdm/annotations/`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np


@dataclass(frozen=True, kw_only=True)
class NormalMap:
    """Surface normals: the annotation or a prediction of the `normals` task.

    Attributes:
        normals: float32, H x W x 3, unit vectors (x to the right, y down, z towards the viewer); 0 where unknown.
    """

    normals: np.ndarray

    @property
    def valid_mask(self) -> np.ndarray:
        """bool, H x W, where the normal is known."""
        return self.normals.any(axis=2)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.normals.shape[:2]
        return height, width

    def warp(self, matrix: np.ndarray, size: tuple[int, int]) -> Self:
        """See `Annotation.warp`; normals turn and mirror with the image, outside the source nothing is known."""
        moved = cv2.warpAffine(self.normals, matrix, size[::-1], flags=cv2.INTER_NEAREST)
        left, _, right = np.linalg.svd(matrix[:, :2])  # the rotation or reflection in the map, without its scale
        moved[..., :2] = moved[..., :2] @ (left @ right).T
        return type(self)(normals=moved)

    def zoomed(self, factor: float) -> Self:
        """The map itself: a longer lens does not turn what it sees."""
        return self

    @classmethod
    def merge(cls, parts: Sequence[Self]) -> Self:
        """Each pixel from the first part that knows it."""
        normals = parts[0].normals.copy()
        for part in parts[1:]:
            unknown = ~normals.any(axis=2)
            normals[unknown] = part.normals[unknown]
        return cls(normals=normals)

    def paste(self, source: Self, labels: Collection[int], rng: np.random.Generator) -> None:
        """None: the map does not list objects."""

    def relabelled(self, table: np.ndarray) -> Self:
        """The map itself: it has no categories."""
        return self

    def object_labels(self) -> None:
        """None: the map does not list objects."""

    def category_labels(self) -> None:
        """None: the map has no categories."""

    def picture(self) -> np.ndarray:
        """See `Pictured`: x, y and z as red, green and blue, black where the normal is unknown."""
        return np.where(self.valid_mask[..., None], (self.normals + 1) * 127.5, 0).round().astype(np.uint8)

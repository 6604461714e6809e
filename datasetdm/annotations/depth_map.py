"""Metric depth: the annotation of depth estimation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np


@dataclass(frozen=True, kw_only=True)
class DepthMap:
    """Metric depth: the annotation or a prediction of the `depth` task.

    Attributes:
        depth: float32, H x W, metres along the optical axis; 0 where it is unknown.
        valid_mask: bool, H x W, where it is known.
    """

    depth: np.ndarray
    valid_mask: np.ndarray

    def __post_init__(self) -> None:
        if self.depth.ndim != 2 or self.valid_mask.shape != self.depth.shape or self.valid_mask.dtype != bool:
            raise ValueError("depth must be H x W and valid_mask bool of the same size")

    def warp(self, matrix: np.ndarray, size: tuple[int, int]) -> Self:
        """See `Annotation.warp`; outside the source nothing is known. The depths themselves stay as they are."""
        height, width = size
        # Unknown pixels travel as 0, which is never a depth, so that one map moves both.
        metres = np.where(self.valid_mask, self.depth, np.float32(0))
        moved = cv2.warpAffine(metres, matrix, (width, height), flags=cv2.INTER_NEAREST)
        return replace(self, depth=moved, valid_mask=moved > 0)

    def zoomed(self, factor: float) -> Self:
        """What looks larger is nearer (Eigen et al., arXiv 1406.2283, section 3.3)."""
        return replace(self, depth=self.depth / np.float32(factor))

    @classmethod
    def merge(cls, parts: Sequence[Self]) -> Self:
        """Each pixel from the first part that knows it."""
        depth, known = parts[0].depth.copy(), parts[0].valid_mask.copy()
        for part in parts[1:]:
            new = part.valid_mask & ~known
            depth[new] = part.depth[new]
            known |= new
        return cls(depth=depth, valid_mask=known)

    def paste(self, source: Self, labels: Collection[int], rng: np.random.Generator) -> None:
        """None: a depth map does not list objects."""

    def relabelled(self, table: np.ndarray) -> Self:
        """The map itself: it has no categories."""
        return self

    def agreement(self, other: Self) -> float:
        """See `Comparable.agreement`: 1 less the relative difference, |a - b| / max(a, b), the mean over the pixels.

        A pixel that only one of the two knows counts as 0.
        """
        either, both = self.valid_mask | other.valid_mask, self.valid_mask & other.valid_mask
        if not either.any():
            return 1.0
        one, another = self.depth[both].astype(np.float64), other.depth[both].astype(np.float64)
        return float((np.minimum(one, another) / np.maximum(one, another)).sum() / either.sum())

    @classmethod
    def consensus(cls, readings: Sequence[Self]) -> Self:
        """See `Comparable.consensus`: at each pixel the geometric mean of the depths that are known there."""
        if len(readings) == 1:
            return readings[0]
        known = np.stack([reading.valid_mask for reading in readings])
        logs = np.log(np.stack([reading.depth for reading in readings]), where=known, out=np.zeros(known.shape))
        count = known.sum(axis=0)
        depth = np.where(count > 0, np.exp(logs.sum(axis=0) / np.maximum(count, 1)), 0)
        return cls(depth=depth.astype(np.float32), valid_mask=count > 0)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.depth.shape
        return height, width

    def picture(self) -> np.ndarray:
        """See `Pictured`: from red (nearest) to blue (farthest), black where the depth is not known.

        The colours follow the inverse of the depth, which shows the ground in front as well as what is far away.
        """
        known = self.valid_mask & np.isfinite(self.depth) & (self.depth > 0)
        picture = np.zeros((*known.shape, 3), dtype=np.uint8)
        if known.any():
            nearness = 1 / self.depth[known]
            far, near = np.percentile(nearness, (2, 98))  # a few outliers must not take up all the colours
            level = np.clip((nearness - far) / max(near - far, 1e-9), 0, 1)
            colours = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_TURBO)
            picture[known] = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB).reshape(-1, 3)
        return picture

    def object_labels(self) -> None:
        """None: a depth map does not list objects."""

    def category_labels(self) -> None:
        """None: a depth map has no categories."""


def counted_mask(target: DepthMap, min_depth: float, max_depth: float) -> np.ndarray:
    """bool, H x W: where the depth is known and between the two bounds, in metres."""
    return target.valid_mask & (target.depth >= min_depth) & (target.depth <= max_depth)

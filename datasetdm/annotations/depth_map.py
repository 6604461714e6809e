"""Metric depth: the annotation of depth estimation."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class DepthMap:
    """Metric depth: the annotation or a prediction of the `depth` task.

    Attributes:
        depth: float32, H x W, metres along the optical axis; 0 where it is not known.
        valid_mask: bool, H x W, where it is known.
    """

    depth: np.ndarray
    valid_mask: np.ndarray

    def __post_init__(self) -> None:
        if self.depth.ndim != 2 or self.valid_mask.shape != self.depth.shape or self.valid_mask.dtype != bool:
            raise ValueError("depth must be H x W and valid_mask bool of the same size")

    def relabelled(self, table: np.ndarray) -> "DepthMap":
        """The map itself: it has no categories."""
        return self

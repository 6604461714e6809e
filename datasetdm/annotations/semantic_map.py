"""The category of every pixel: the annotation of semantic segmentation."""

from dataclasses import dataclass, replace

import numpy as np

#: Label of a pixel that is neither learnt nor counted, in every semantic map.
IGNORE = 255


@dataclass(frozen=True, kw_only=True)
class SemanticMap:
    """The category of every pixel: the annotation or a prediction of the `semantic` task.

    Attributes:
        labels: uint8, H x W, index into the data set's categories; `IGNORE` (255) where nothing is known.
        certainty: float32, H x W in [0, 1], probability of the label given; 1 for an annotation.
    """

    labels: np.ndarray
    certainty: np.ndarray

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or self.labels.dtype != np.uint8 or self.certainty.shape != self.labels.shape:
            raise ValueError("labels must be uint8 H x W and certainty of the same size")

    @classmethod
    def of(cls, labels: np.ndarray) -> "SemanticMap":
        """An annotation, certain all over."""
        labels = np.asarray(labels, dtype=np.uint8)
        return cls(labels=labels, certainty=np.ones(labels.shape, np.float32))

    def relabelled(self, table: np.ndarray) -> "SemanticMap":
        """The map where `table` (int64, one per label) gives each label a new one; `IGNORE` stays."""
        every = np.full(256, IGNORE, dtype=np.uint8)
        every[: len(table)] = table
        return replace(self, labels=every[self.labels])

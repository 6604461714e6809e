"""The category of every pixel: the annotation of semantic segmentation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np

from datasetdm.annotations.annotation import choose_some
from datasetdm.errors import DatasetDMError

#: Label of a pixel that is neither learnt nor evaluated, in every semantic map.
IGNORE = 255


@dataclass(frozen=True, kw_only=True)
class SemanticMap:
    """The category of every pixel: the annotation or a prediction of the `semantic` task.

    Attributes:
        labels: uint8, H x W, index into the data set's categories; `IGNORE` (255) where nothing is known.
        confidence: float32, H x W in [0, 1], probability of the label given; 1 for an annotation.
    """

    labels: np.ndarray
    confidence: np.ndarray

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or self.labels.dtype != np.uint8 or self.confidence.shape != self.labels.shape:
            raise ValueError("labels must be uint8 H x W and confidence of the same size")

    @classmethod
    def of(cls, labels: np.ndarray) -> Self:
        """An annotation, certain at every pixel."""
        labels = np.asarray(labels, dtype=np.uint8)
        return cls(labels=labels, confidence=np.ones(labels.shape, np.float32))

    def warp(self, matrix: np.ndarray, size: tuple[int, int]) -> Self:
        """See `Annotation.warp`; pixels that the source does not cover are `IGNORE`."""
        height, width = size
        labels, confidence = (
            cv2.warpAffine(values, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=border)
            for values, border in ((self.labels, IGNORE), (self.confidence, 0))
        )
        return replace(self, labels=labels, confidence=confidence)

    def zoomed(self, factor: float) -> Self:
        """The map itself: a lens does not change categories."""
        return self

    @classmethod
    def merge(cls, parts: Sequence[Self]) -> Self:
        """Each pixel from the first part that knows it."""
        labels, confidence = parts[0].labels.copy(), parts[0].confidence.copy()
        for part in parts[1:]:
            new = labels == IGNORE
            labels[new], confidence[new] = part.labels[new], part.confidence[new]
        return cls(labels=labels, confidence=confidence)

    def paste(self, source: Self, labels: Collection[int], rng: np.random.Generator) -> tuple[np.ndarray, Self] | None:
        """See `Annotation.paste`; a map lists no objects, so all pixels of a category go together (ClassMix, arXiv
        2007.07936)."""
        there = np.intersect1d(source.labels, list(labels))
        if not len(there):
            return None
        region = np.isin(source.labels, there[choose_some(len(there), rng)])
        return region, replace(
            self,
            labels=np.where(region, source.labels, self.labels).astype(np.uint8),
            confidence=np.where(region, source.confidence, self.confidence),
        )

    def relabelled(self, table: np.ndarray) -> Self:
        """The map with new labels (int64, one per old label); `IGNORE` stays."""
        every = np.full(256, IGNORE, dtype=np.uint8)
        every[: len(table)] = table
        return replace(self, labels=every[self.labels])

    def agreement(self, other: Self) -> float:
        """See `Comparable.agreement`: the mean IoU of all categories of the two, the background too.

        A pixel that only one of the two knows is a disagreement.
        """
        labels = sorted({*self.category_labels(), *other.category_labels()})
        if not labels:
            return 1.0
        pairs = [(self.labels == label, other.labels == label) for label in labels]
        return float(np.mean([(one & another).sum() / (one | another).sum() for one, another in pairs]))

    @classmethod
    def consensus(cls, readings: Sequence[Self]) -> Self:
        """See `Comparable.consensus`: at each pixel the label with the highest sum of confidences, and their mean."""
        if len(readings) == 1:
            return readings[0]
        labels = sorted({label for reading in readings for label in reading.category_labels()})
        sums = np.zeros((len(labels) + 1, *readings[0].size), dtype=np.float32)  # the last for a pixel nobody knows
        for reading in readings:
            for plane, label in zip(sums[:-1], labels, strict=True):
                plane += np.where(reading.labels == label, reading.confidence, 0)
        best = sums.argmax(axis=0)
        nobody = (sums <= 0).all(axis=0)
        best[nobody] = len(labels)
        confidence = np.take_along_axis(sums, best[None], axis=0)[0] / len(readings)
        return cls(labels=np.array([*labels, IGNORE], dtype=np.uint8)[best], confidence=confidence)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.labels.shape
        return height, width

    def object_labels(self) -> None:
        """None: a semantic map does not list objects."""

    def category_labels(self) -> tuple[int, ...]:
        """See `Annotation.category_labels`."""
        return tuple(label for label in np.unique(self.labels).tolist() if label != IGNORE)


def check_label_count(count: int) -> None:
    """DatasetDMError if so many categories do not fit into a semantic map."""
    if count > IGNORE:
        raise DatasetDMError(
            f"The data set has {count} categories, but a semantic map holds {IGNORE} at the most: leave some out."
        )

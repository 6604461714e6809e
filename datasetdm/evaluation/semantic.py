"""Mean intersection over union of semantic maps, from one confusion matrix; and the baseline that anyone can beat."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from datasetdm.annotations.semantic_map import IGNORE, SemanticMap

BASELINE_SIDE = 64


class SemanticEvaluator:
    """IoU per category over all pixels of all images, as in PASCAL VOC and Cityscapes.

    Pixels that are `IGNORE` in the true annotation are not counted; `IGNORE` in a prediction is a wrong answer.

    Args:
        category_names: names in label order.
        unseen: labels of categories that the model was never shown; the others, the background among them, are seen.
        tail: labels of the rare categories; the others are the head.
    """

    def __init__(self, category_names: Sequence[str], unseen: Collection[int] = (), tail: Collection[int] = ()):
        self.category_names = tuple(category_names)
        self.unseen, self.tail = frozenset(unseen), frozenset(tail)
        count = len(self.category_names)
        self.confusion = np.zeros((count, count + 1), dtype=np.int64)  # true x predicted, the last column for IGNORE

    def add(self, target: SemanticMap, predicted: SemanticMap) -> None:
        """Take in one image: its true and its predicted map.

        Raises:
            ValueError: they differ in size, or hold a label that is no category.
        """
        if target.labels.shape != predicted.labels.shape:
            raise ValueError(f"a map of {predicted.labels.shape} cannot be judged by {target.labels.shape}")
        count = len(self.category_names)
        for labels in (target.labels, predicted.labels):
            if (labels[labels != IGNORE] >= count).any():
                raise ValueError(f"a label is none of the {count} categories")
        counted = target.labels != IGNORE
        true, found = target.labels[counted].astype(np.int64), predicted.labels[counted].astype(np.int64)
        found[found == IGNORE] = count
        self.confusion += np.bincount(true * (count + 1) + found, minlength=self.confusion.size).reshape(
            self.confusion.shape
        )

    def compute(self) -> dict[str, float]:
        """`miou`, `pixel_accuracy`, `iou/<category>` and, for the groups that were given, `miou_seen|unseen|harmonic`
        and `miou_head|tail`.

        All in [0, 1]. A category that the true annotation does not hold is NaN and in no mean; a mean over nothing is
        NaN.
        """
        correct, true = np.diag(self.confusion), self.confusion.sum(axis=1)
        union = true + self.confusion[:, :-1].sum(axis=0) - correct
        iou = np.full(len(true), math.nan)
        iou[true > 0] = correct[true > 0] / union[true > 0]
        metrics = {"miou": _mean(iou)}
        if self.unseen:
            metrics["miou_seen"], metrics["miou_unseen"] = _split(iou, self.unseen)
            metrics["miou_harmonic"] = _harmonic(metrics["miou_seen"], metrics["miou_unseen"])
        if self.tail:
            metrics["miou_head"], metrics["miou_tail"] = _split(iou, self.tail)
        metrics["pixel_accuracy"] = float(correct.sum() / true.sum()) if true.any() else math.nan
        return metrics | {f"iou/{name}": float(value) for name, value in zip(self.category_names, iou, strict=True)}


@dataclass(frozen=True)
class MajorityMap:
    """The trivial baseline: at each place of every image, the category that the training maps have there most often.

    Attributes:
        labels: uint8, `BASELINE_SIDE` squared, over the image squeezed into a square.
    """

    labels: np.ndarray

    @classmethod
    def fit(cls, targets: Iterable[SemanticMap]) -> "MajorityMap":
        """Count the training maps, of any sizes; where they know nothing, the category most frequent overall.

        Raises:
            ValueError: there is no labelled pixel at all.
        """
        votes = np.zeros((IGNORE, BASELINE_SIDE, BASELINE_SIDE), dtype=np.int64)
        rows, columns = np.indices((BASELINE_SIDE, BASELINE_SIDE))
        for target in targets:
            labels = _resized(target.labels, (BASELINE_SIDE, BASELINE_SIDE))
            known = labels != IGNORE
            votes[labels[known], rows[known], columns[known]] += 1
        if not votes.any():
            raise ValueError("a majority needs at least one labelled pixel")
        overall = votes.sum(axis=(1, 2)).argmax()
        return cls(np.where(votes.any(axis=0), votes.argmax(axis=0), overall).astype(np.uint8))

    def predict(self, size: tuple[int, int]) -> SemanticMap:
        """The same map for every image, at (height, width)."""
        return SemanticMap.of(_resized(self.labels, size))


def _resized(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def _split(iou: np.ndarray, chosen: Collection[int]) -> tuple[float, float]:
    """The means over the other labels and over the chosen ones."""
    inside = np.isin(np.arange(len(iou)), list(chosen))
    return _mean(iou[~inside]), _mean(iou[inside])


def _mean(iou: np.ndarray) -> float:
    known = iou[~np.isnan(iou)]
    return float(known.mean()) if known.size else math.nan


def _harmonic(first: float, second: float) -> float:
    return 2 * first * second / (first + second) if first + second != 0 else 0.0

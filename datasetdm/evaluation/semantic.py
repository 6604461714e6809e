"""Mean intersection over union of semantic maps, from one confusion matrix."""

import math
from collections.abc import Collection, Sequence

import numpy as np

from datasetdm.annotations.semantic_map import IGNORE, SemanticMap


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
        """Add one image: its true and its predicted map.

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
        iou = self._iou()
        correct, true = np.diag(self.confusion), self.confusion.sum(axis=1)
        metrics = {"miou": _mean(iou)}
        if self.unseen:
            metrics["miou_seen"], metrics["miou_unseen"] = _split(iou, self.unseen)
            metrics["miou_harmonic"] = _harmonic(metrics["miou_seen"], metrics["miou_unseen"])
        if self.tail:
            metrics["miou_head"], metrics["miou_tail"] = _split(iou, self.tail)
        metrics["pixel_accuracy"] = float(correct.sum() / true.sum()) if true.any() else math.nan
        return metrics | {f"iou/{name}": float(value) for name, value in zip(self.category_names, iou, strict=True)}

    def by_category(self) -> dict[str, float]:
        """The IoU of every category by name; NaN where the true annotation does not hold it."""
        return dict(zip(self.category_names, self._iou().tolist(), strict=True))

    def _iou(self) -> np.ndarray:
        """By label."""
        correct, true = np.diag(self.confusion), self.confusion.sum(axis=1)
        union = true + self.confusion[:, :-1].sum(axis=0) - correct
        iou = np.full(len(true), math.nan)
        iou[true > 0] = correct[true > 0] / union[true > 0]
        return iou


def _split(iou: np.ndarray, chosen: Collection[int]) -> tuple[float, float]:
    """The means over the other labels and over the chosen ones."""
    inside = np.isin(np.arange(len(iou)), list(chosen))
    return _mean(iou[~inside]), _mean(iou[inside])


def _mean(iou: np.ndarray) -> float:
    known = iou[~np.isnan(iou)]
    return float(known.mean()) if known.size else math.nan


def _harmonic(first: float, second: float) -> float:
    return 2 * first * second / (first + second) if first + second != 0 else 0.0

"""How good labels are: mask AP, and the recall at a precision of 0.9, an object being right with class and IoU 0.5."""

from collections.abc import Sequence

import numpy as np

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.matching import mask_ious
from datasetdm.annotations.sample import Category
from datasetdm.evaluation.coco import CocoMaskEvaluator

PRECISION = 0.9
RIGHT_IOU = 0.5


def measure(
    categories: Sequence[Category], truths: Sequence[Instances], found: Sequence[Instances]
) -> dict[str, float]:
    """`mask_ap`, `mask_ap50`, `mask_ap75`, and `recall_at_precision_90`; all in [0, 1].

    Args:
        categories: in label order.
        truths: the true objects of each image.
        found: the labels of each image.
    """
    evaluator = CocoMaskEvaluator(categories)
    for truth, one in zip(truths, found, strict=True):
        evaluator.add(truth, one)
    metrics = evaluator.compute()
    chosen = {name: metrics[name] for name in ("mask_ap", "mask_ap50", "mask_ap75")}
    return chosen | {"recall_at_precision_90": recall_at_precision(truths, found)}


def recall_at_precision(truths: Sequence[Instances], found: Sequence[Instances]) -> float:
    """The largest share of the true objects that a threshold on the score finds with a precision of 0.9; 0 if none."""
    scores = np.concatenate([one.scores for one in found])
    right = np.concatenate([right_objects(truth, one) for truth, one in zip(truths, found, strict=True)])
    hits = np.cumsum(right[np.argsort(-scores, kind="stable")])
    precise = np.flatnonzero(hits / np.arange(1, len(hits) + 1) >= PRECISION)
    return float(hits[precise[-1]] / sum(map(len, truths))) if len(precise) else 0.0


def right_objects(truth: Instances, found: Instances) -> np.ndarray:
    """Which of the labels are right: bool, N. Each true object is found once, by the surest label that fits it."""
    right, free = np.zeros(len(found), dtype=bool), np.ones(len(truth), dtype=bool)
    ious = mask_ious(found.masks, truth.masks) * (found.labels[:, None] == truth.labels[None])
    for index in np.argsort(-found.scores, kind="stable"):
        fitting = np.where(free, ious[index], 0)
        if len(fitting) and fitting.max() >= RIGHT_IOU:
            right[index], free[fitting.argmax()] = True, False
    return right


def area_under_curve(scores: np.ndarray, right: np.ndarray) -> float:
    """How well scores tell right from wrong: the share of the pairs that they order correctly (ROC AUC).

    Pairs with the same score count half; NaN if all are right, or all are wrong.
    """
    pairs = scores[right][:, None] - scores[~right][None]
    return float(((pairs > 0) + 0.5 * (pairs == 0)).mean()) if pairs.size else float("nan")

"""How good labels are: mask AP, and the recall at a precision of 0.9, an object being right with class and IoU 0.5."""

from collections.abc import Sequence

import numpy as np

from datasetdm.annotations.instances import Instances
from datasetdm.evaluation.coco import CocoMaskEvaluator

PRECISION = 0.9
RIGHT_IOU = 0.5


def measure(categories, truths: Sequence[Instances], found: Sequence[Instances]) -> dict[str, float]:
    """`mask_ap`, `mask_ap50`, `mask_ap75`, and `recall_at_precision_90` with the score from which it holds."""
    evaluator = CocoMaskEvaluator(categories)
    for truth, one in zip(truths, found, strict=True):
        evaluator.add(truth, one)
    metrics = evaluator.compute()
    chosen = {name: metrics[name] for name in ("mask_ap", "mask_ap50", "mask_ap75")}
    return chosen | recall_at_precision(truths, found)


def recall_at_precision(truths, found) -> dict[str, float]:
    scores = np.concatenate([one.scores for one in found])
    right = np.concatenate([right_objects(truth, one) for truth, one in zip(truths, found, strict=True)])
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    good = np.flatnonzero(hits / np.arange(1, len(hits) + 1) >= PRECISION)
    total = sum(len(truth) for truth in truths)
    if not len(good):
        return {"recall_at_precision_90": 0.0, "score_at_precision_90": 1.0}
    return {
        "recall_at_precision_90": float(hits[good[-1]] / total),
        "score_at_precision_90": float(scores[order][good[-1]]),
    }


def ious(truth: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """IoU of every mask (bool, N x H x W) with every true one: N x T."""
    first, second = (m.reshape(len(m), m.shape[1] * m.shape[2]).astype(np.float32) for m in (masks, truth))
    overlap = first @ second.T
    return overlap / np.maximum(first.sum(1)[:, None] + second.sum(1)[None] - overlap, 1)


def right_objects(truth: Instances, found: Instances, least: float = RIGHT_IOU) -> np.ndarray:
    """Which objects (best first) are right: bool, N; a true object is found once."""
    right, free = np.zeros(len(found), bool), np.ones(len(truth), bool)
    table = ious(truth.masks, found.masks)
    for index in np.argsort(-found.scores, kind="stable"):
        fitting = np.where(free & (truth.labels == found.labels[index]), table[index], 0)
        if len(fitting) and fitting.max() >= least:
            right[index], free[fitting.argmax()] = True, False
    return right

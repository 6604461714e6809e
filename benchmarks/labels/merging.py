"""Objects out of what several readings say: first versions, for comparison."""

import cv2
import numpy as np

from datasetdm.annotations.instances import Instances
from datasetdm.tasks.instance import LOWEST_SCORE, _distinct
from datasetdm.tasks.outlines import snap_to_edges


def candidates(output, lowest=LOWEST_SCORE):
    classes, masks = (values.astype(np.float32) for values in output)
    best = classes.max(1)
    keep = best >= lowest
    return classes[keep], masks[keep]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def upsample(masks, side=128):
    out = [cv2.resize(m, (side, side), interpolation=cv2.INTER_LINEAR) for m in masks]
    return np.array(out, np.float32).reshape(-1, side, side)


def score_masks(inside):
    covered = inside > 0.5
    return (inside * covered).sum((1, 2)) / np.maximum(covered.sum((1, 2)), 1)


def plain(output, side=128):
    """As the project decodes one reading; soft masks."""
    classes, masks = candidates(output)
    inside = sigmoid(upsample(masks, side))
    return finish(classes, inside)


def finish(classes, inside):
    """classes N x C, inside N x H x W -> (Instances, soft masks) best first, distinct."""
    side = inside.shape[-1]
    if not len(classes):
        return Instances.empty(side, side), inside
    scores = classes.max(1) * score_masks(inside)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= LOWEST_SCORE]
    covered = inside > 0.5
    order = order[covered[order].any((1, 2))]
    if not len(order):
        return Instances.empty(side, side), inside[:0]
    found = Instances.of(covered[order], classes[order].argmax(1), scores[order])
    keep = _distinct(found.masks)
    return found.select(keep), inside[order][keep]


def fuse(outputs, iou=0.5, space="prob", power=1.0, missing=1.0, side=128, within=0.7, labelled=False):
    """Weighted fusion of soft masks: greedy clusters over readings, at most one member of a reading in each.

    missing: exponent on the share of readings that see the object.
    """
    number = len(outputs)
    pool = []
    for reading, output in enumerate(outputs):
        classes, masks = candidates(output)
        inside = sigmoid(masks)
        covered = inside > 0.5
        some = covered.any((1, 2))
        classes, masks, inside, covered = classes[some], masks[some], inside[some], covered[some]
        scores = classes.max(1) * score_masks(inside) if len(inside) else np.zeros(0)
        pool += [(s, reading, c, m, i, k) for s, c, m, i, k in zip(scores, classes, masks, inside, covered)]
    pool.sort(key=lambda row: -row[0])
    clusters = []
    for row in pool:
        best, where = 0.0, None
        for cluster in clusters:
            lead = cluster["covered"]
            overlap = (lead & row[5]).sum() / max((lead | row[5]).sum(), 1)
            if labelled and cluster["rows"][0][2].argmax() != row[2].argmax():
                overlap = 0
            if overlap > best:
                best, where = overlap, cluster
        if where is not None and best >= iou:
            if row[1] not in where["readings"]:
                where["readings"].add(row[1])
                where["rows"].append(row)
                weights = np.array([r[0] for r in where["rows"]]) ** power
                where["soft"] = np.average(
                    [r[4] if space == "prob" else r[3] for r in where["rows"]], axis=0, weights=weights
                )
                where["covered"] = where["soft"] > (0.5 if space == "prob" else 0)
                continue
            elif best >= within:
                continue
        clusters.append(
            {"readings": {row[1]}, "rows": [row], "soft": row[4] if space == "prob" else row[3], "covered": row[5]}
        )
    if not clusters:
        return Instances.empty(side, side), np.zeros((0, side, side), np.float32)
    classes = np.stack(
        [np.sum([r[2] for r in c["rows"]], 0) / number**missing / len(c["rows"]) ** (1 - missing) for c in clusters]
    )
    soft = upsample([c["soft"] for c in clusters], side)
    return finish(classes, soft if space == "prob" else sigmoid(soft))


def average_masks(outputs):
    """Mean over readings query by query: only sensible for readings of one decoder."""
    raise NotImplementedError


def grabcut(found, image, rescore=True):
    if not len(found):
        return found
    masks = np.stack([snap_to_edges(mask, image) for mask in found.masks])
    agreement = (masks & found.masks).sum((1, 2)) / (masks | found.masks).sum((1, 2))
    scores = (found.scores * agreement if rescore else found.scores).astype(np.float32)
    from dataclasses import replace

    out = replace(found, masks=masks, scores=scores)
    out = out.select(np.argsort(-out.scores, kind="stable"))
    return out.select(_distinct(out.masks))

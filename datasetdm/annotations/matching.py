"""Which objects of several predictions of one image are the same."""

from collections.abc import Sequence

import numpy as np
from pycocotools.cocoeval import Params
from scipy.optimize import linear_sum_assignment

SAME_IOU = 0.5  # masks of two readings that agree this much mean the same object, whatever its class

#: (2 sigma)^2 of COCO's 17 keypoints (arXiv 1405.0312; the sigmas are cocoeval's `kpt_oks_sigmas`).
KEYPOINT_SPREAD: np.ndarray = (2 * Params(iouType="keypoints").kpt_oks_sigmas) ** 2

Member = tuple[int, int]  # the number of a reading, and of an object in it


def mask_ious(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every pair of masks (bool, N x H x W and M x H x W): float32, N x M, in [0, 1]."""
    one, other = (masks.reshape(len(masks), np.prod(masks.shape[1:])).astype(np.float32) for masks in (first, second))
    overlap = one @ other.T
    return np.asarray(overlap / np.maximum(one.sum(axis=1)[:, None] + other.sum(axis=1)[None] - overlap, 1))


def keypoint_closeness(first: np.ndarray, second: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """How close keypoints are to others: exp(-d^2 / (2 area (2 sigma)^2)), whose mean over a person is COCO's OKS.

    Args:
        first: ... x 17 x 2 or more: x, y in pixels.
        second: the same.
        areas: ..., of the persons in pixels.

    Returns:
        ... x 17, in [0, 1].
    """
    distances = ((first[..., :2] - second[..., :2]) ** 2).sum(axis=-1)
    return np.asarray(np.exp(-distances / (2 * np.maximum(areas, 1)[..., None] * KEYPOINT_SPREAD)))


def matched_similarity(similarities: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Mean similarity of each object of two predictions to its partner in the other, in [0, 1].

    Partners are those that make the sum largest. An object without one counts as 0; without any object all is agreed.

    Args:
        similarities: N x M, in [0, 1].
        first: N, how much each object of the first prediction counts, such as its score.
        second: M, the same of the second prediction.
    """
    total = float(first.sum() + second.sum())
    if not total:
        return 1.0
    weights = first[:, None] + second[None]
    rows, columns = linear_sum_assignment(similarities * weights, maximize=True)
    return float((similarities * weights)[rows, columns].sum() / total)


def group_objects(masks: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> list[list[Member]]:
    """The objects of several readings in groups that mean the same object, each with its best one first.

    Going from the best score down, an object joins the group whose first mask it covers most, if that is `SAME_IOU` or
    more; a second one of the same reading is a duplicate and is left out.

    Args:
        masks: of each reading, bool, N x H x W.
        scores: of each reading, N.
    """
    everyone = [(reading, number) for reading, values in enumerate(scores) for number in range(len(values))]
    if not everyone:
        return []
    flat = np.concatenate(masks)
    ious = mask_ious(flat, flat)
    place = {member: index for index, member in enumerate(everyone)}
    groups: list[list[Member]] = []
    for member in sorted(everyone, key=lambda item: -scores[item[0]][item[1]]):
        overlaps = [ious[place[group[0]], place[member]] for group in groups]
        if not overlaps or max(overlaps) < SAME_IOU:
            groups.append([member])
            continue
        group = groups[int(np.argmax(overlaps))]
        if member[0] not in {reading for reading, _ in group}:
            group.append(member)
    return groups


def voted_mask(masks: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The pixels that the readings of one object vote for by more than half, each with its score: bool, H x W.

    Args:
        masks: bool, N x H x W, the best one first; it is the result if no pixel has enough votes.
        scores: N; if all are 0, which those of persons without a sure keypoint are, each reading has one vote.
    """
    inside: np.ndarray = np.average(masks, axis=0, weights=scores if scores.any() else None) > 0.5
    return inside if inside.any() else masks[0]

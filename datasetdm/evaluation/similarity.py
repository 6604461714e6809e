"""How alike two objects are: IoU of masks, OKS of keypoints."""

import numpy as np
from pycocotools.cocoeval import Params

from datasetdm.annotations.persons import Persons

#: COCO's sigmas of the 17 keypoints (arXiv 1405.0312; cocoeval calls them `kpt_oks_sigmas`).
SIGMAS: np.ndarray = Params(iouType="keypoints").kpt_oks_sigmas


def mask_iou(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The intersection over union of every pair of masks (bool, N x H x W and M x H x W): float, N x M in [0, 1]."""
    if not (len(masks) and len(others)):
        return np.zeros((len(masks), len(others)))
    first, second = (part.reshape(len(part), -1).astype(np.float32) for part in (masks, others))
    both = first @ second.T
    either = first.sum(axis=1)[:, None] + second.sum(axis=1)[None] - both
    return both / np.maximum(either, 1)


def keypoint_similarity(found: Persons, truth: Persons) -> np.ndarray:
    """COCO's object keypoint similarity (OKS) of every pair of a found and a true person: float, N x M in [0, 1].

    The mean over the labelled keypoints of the true person of exp(-d^2 / (2 area (2 sigma)^2)), where d is the distance
    in pixels. A true person without a labelled keypoint is like nobody: 0.
    """
    similarity = np.zeros((len(found), len(truth)))
    areas = truth.masks.sum(axis=(1, 2)).astype(np.float64)
    for column, (keypoints, area) in enumerate(zip(truth.keypoints, areas, strict=True)):
        labelled = keypoints[:, 2] > 0
        if labelled.any():
            apart = ((found.keypoints[:, labelled, :2] - keypoints[labelled, :2]) ** 2).sum(axis=-1)
            scale = 2 * (area + np.spacing(1)) * (2 * SIGMAS[labelled]) ** 2
            similarity[:, column] = np.exp(-apart / scale).mean(axis=1)
    return similarity

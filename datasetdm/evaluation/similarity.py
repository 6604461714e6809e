"""How alike a found and a true person are."""

import numpy as np

from datasetdm.annotations.matching import keypoint_closeness
from datasetdm.annotations.persons import Persons


def keypoint_similarity(found: Persons, truth: Persons) -> np.ndarray:
    """COCO's object keypoint similarity (OKS) of every pair of a found and a true person: float, N x M in [0, 1].

    It is the mean closeness over the labelled keypoints of the true person. If that has none, nobody is like it: 0.
    """
    labelled = truth.keypoints[None, ..., 2] > 0
    close = keypoint_closeness(found.keypoints[:, None], truth.keypoints[None], truth.masks.sum(axis=(1, 2))[None])
    return np.asarray((close * labelled).sum(axis=-1) / np.maximum(labelled.sum(axis=-1), 1))

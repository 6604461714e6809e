"""The trivial models that a trained one has to beat; they know the annotations of the training images and no pixel."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Self

import cv2
import numpy as np

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap, counted_mask
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.errors import DatasetDMError
from datasetdm.task_parts import TASKS

BASELINE_SIDE = 64  # pixels of a `MajorityMap`
PROFILE = 128  # rows of a `RowPrior`, which are interpolated

#: From the (height, width) of an image and its prompt boxes to an annotation.
Guess = Callable[[tuple[int, int], Any], Any]


def fit_baseline(settings: config.TaskSettings, targets: Iterable[Any]) -> Guess | None:
    """The baseline of a task, fitted to the annotations of the labelled images.

    Args:
        settings: of the task.
        targets: the annotations.

    Returns:
        The baseline; None if the trivial answer is to find nothing.
    """
    baseline = TASKS[settings.name].baseline
    guess: Guess | None = resolve_name(baseline)(settings, targets) if baseline else None
    return guess


@dataclass(frozen=True)
class MajorityMap:
    """Semantic segmentation: at each place of an image, the category that the training maps most often have there.

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


class RowPrior:
    """Depth: the mean of each image row over the training maps.

    The floor is near and at the bottom, so this is not a bad guess; a model that is worse has learnt nothing.

    Args:
        min_depth: metres; nearer pixels are not counted.
        max_depth: metres; farther pixels are not counted.
    """

    def __init__(self, *, min_depth: float, max_depth: float):
        self.min_depth, self.max_depth = min_depth, max_depth
        self._positions = self._means = np.zeros(0)

    def fit(self, targets: Iterable[DepthMap]) -> Self:
        """Take the mean over training maps of any size; rows correspond by their share of the height.

        Raises:
            DatasetDMError: there is no known depth at all.
        """
        counts, positions, sums = np.zeros((3, PROFILE))
        for target in targets:
            counted = counted_mask(target, self.min_depth, self.max_depth)
            position = (np.arange(len(counted)) + 0.5) / len(counted)
            row = (position * PROFILE).astype(int)
            count = counted.sum(axis=1)
            np.add.at(counts, row, count)
            np.add.at(positions, row, count * position)
            np.add.at(sums, row, np.where(counted, target.depth, 0).sum(axis=1, dtype=np.float64))
        seen = counts > 0
        if not seen.any():
            raise DatasetDMError(
                f"The training maps hold no depth between {self.min_depth:g} and {self.max_depth:g} m, so that there "
                "is no mean of it: check `task.min_depth` and `task.max_depth` in params.yaml against the data."
            )
        self._positions, self._means = positions[seen] / counts[seen], sums[seen] / counts[seen]
        return self

    def predict(self, size: tuple[int, int]) -> DepthMap:
        """The same depth map for every image of (height, width); rows never seen take that of the nearest seen one."""
        height, width = size
        column = np.interp((np.arange(height) + 0.5) / height, self._positions, self._means).astype(np.float32)
        return DepthMap(
            depth=np.repeat(column[:, None], width, axis=1), valid_mask=np.ones((height, width), dtype=bool)
        )


@dataclass(frozen=True)
class MeanPose:
    """Pose: every person has the mean pose of the training images, stretched into the box.

    Attributes:
        points: float, K x 2: x and y as shares of the box's width and height.
    """

    points: np.ndarray

    @classmethod
    def fit(cls, targets: Iterable[Persons]) -> "MeanPose":
        """The mean over the labelled keypoints; a kind of keypoint that nobody has is put at the box's centre.

        Raises:
            DatasetDMError: no person has a labelled keypoint.
        """
        sums, counts = np.zeros((0, 2)), np.zeros(0)
        for persons in targets:
            used = persons.select(np.flatnonzero(~persons.crowd & (persons.boxes[:, 2:] > 0).all(axis=1)))
            labelled = used.keypoints[..., 2] > 0
            shares = (used.keypoints[..., :2] + 0.5 - used.boxes[:, None, :2]) / used.boxes[:, None, 2:]
            part = (shares * labelled[..., None]).sum(axis=0)
            sums, counts = (sums + part, counts + labelled.sum(axis=0)) if len(sums) else (part, labelled.sum(axis=0))
        if not counts.any():
            raise DatasetDMError(
                "There is no mean pose, as no person of the training images has a labelled keypoint: raise "
                "ingest.num_real in params.yaml."
            )
        return cls(np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], 0.5))

    def predict(self, boxes: np.ndarray) -> Persons:
        """One person per box (N x 4: x, y, width, height), with scores of 1 and without masks (N x 0 x 0)."""
        count = len(boxes)
        keypoints = np.ones((count, len(self.points), 3), dtype=np.float32)
        keypoints[..., :2] = boxes[:, None, :2] + self.points * boxes[:, None, 2:] - 0.5
        return Persons(
            keypoints=keypoints,
            boxes=np.asarray(boxes, dtype=np.float32),
            masks=np.zeros((count, 0, 0), dtype=bool),
            scores=np.ones(count, dtype=np.float32),
            crowd=np.zeros(count, dtype=bool),
        )


def majority_map(settings: config.SemanticAnnotation, targets: Iterable[SemanticMap]) -> Guess:
    """See `MajorityMap`."""
    majority = MajorityMap.fit(targets)
    return lambda size, boxes: majority.predict(size)


def row_prior(settings: config.DepthAnnotation, targets: Iterable[DepthMap]) -> Guess:
    """See `RowPrior`."""
    prior = RowPrior(min_depth=settings.min_depth, max_depth=settings.max_depth).fit(targets)
    return lambda size, boxes: prior.predict(size)


def mean_pose(settings: config.PoseAnnotation, targets: Iterable[Persons]) -> Guess:
    """See `MeanPose`."""
    mean = MeanPose.fit(targets)
    return lambda size, boxes: mean.predict(boxes)


def _resized(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)

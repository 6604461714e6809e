"""People with their keypoints: the annotation of pose estimation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

import numpy as np

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.masks import boxes_of_masks, warp_masks
from datasetdm.annotations.matching import group_objects, keypoint_closeness, matched_similarity, voted_mask

#: COCO's order.
KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip

#: COCO's limbs, pairs of one-based positions in `KEYPOINTS`.
SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip

_OPPOSITE = {"left": "right", "right": "left"}

#: For each position in `KEYPOINTS` the keypoint that it becomes in a mirrored image: left and right change places.
MIRRORED = tuple(
    KEYPOINTS.index(f"{_OPPOSITE[side]}_{part}" if side in _OPPOSITE else name)
    for name in KEYPOINTS
    for side, _, part in (name.partition("_"),)
)

#: Predicted keypoints with a lower score are not kept in an annotation.
KEYPOINT_SCORE = 0.3


P = TypeVar("P", bound="Persons")


@dataclass(frozen=True, kw_only=True)
class Persons:
    """People of one image with their keypoints: the annotation or a prediction of the `pose` task.

    Attributes:
        keypoints: float32, N x K x 3: x, y in pixels of the image and COCO's visibility (0 not labelled,
            1 labelled but hidden, 2 visible); K = 17 in COCO's order. Of a prediction the third number is the
            keypoint's score in [0, 1].
        boxes: float32, N x 4: x, y, width, height in pixels.
        masks: bool, N x H x W, visible pixels of each person, or those of its box if nobody drew a mask; see
            `Instances.masks`.
        scores: float32, N, in [0, 1]; 1 for an annotation.
        crowd: bool, N; neither learnt nor evaluated (COCO's `iscrowd`).
    """

    keypoints: np.ndarray
    boxes: np.ndarray
    masks: np.ndarray
    scores: np.ndarray
    crowd: np.ndarray

    def __post_init__(self) -> None:
        counts = {len(self.keypoints), len(self.boxes), len(self.masks), len(self.scores), len(self.crowd)}
        if len(counts) != 1 or self.keypoints.ndim != 3 or self.masks.ndim != 3 or self.boxes.shape[1:] != (4,):
            raise ValueError("keypoints N x K x 3, boxes N x 4, masks N x H x W, scores and crowd of length N")

    def __len__(self) -> int:
        return len(self.keypoints)

    def select(self, index: np.ndarray) -> Self:
        """The persons that `index` (boolean mask or integer indices) picks."""
        return replace(
            self,
            keypoints=self.keypoints[index],
            boxes=self.boxes[index],
            masks=self.masks[index],
            scores=self.scores[index],
            crowd=self.crowd[index],
        )

    @property
    def with_keypoints(self) -> np.ndarray:
        """bool, N: which persons have a labelled keypoint, crowds left out."""
        return ~self.crowd & (self.keypoints[..., 2] > 0).any(axis=1)

    def as_instances(self, labels: np.ndarray | None = None) -> Instances:
        """The persons as objects without keypoints, with these labels (int64, N); by default all are 0."""
        if labels is None:
            labels = np.zeros(len(self), dtype=np.int64)
        return Instances(masks=self.masks, labels=labels, scores=self.scores, crowd=self.crowd)

    def warp(self, matrix: np.ndarray, size: tuple[int, int]) -> Self:
        """See `Annotation.warp`; persons without a pixel left are dropped, keypoints that leave become unlabelled.

        Where the matrix mirrors, left and right change places. A box that the border cuts shrinks to what is left of
        the mask.
        """
        masks = warp_masks(self.masks, matrix, size)
        persons = replace(self, masks=masks).select(np.flatnonzero(masks.any(axis=(1, 2))))
        return replace(
            persons,
            keypoints=move_keypoints(persons.keypoints, matrix, size),
            boxes=_move_boxes(persons.boxes, persons.masks, matrix, size),
        )

    def zoomed(self, factor: float) -> Self:
        """The persons themselves: a lens does not change them."""
        return self

    @classmethod
    def merge(cls, parts: Sequence[Self]) -> Self:
        """All persons of the parts, in their order."""
        names = ("keypoints", "boxes", "masks", "scores", "crowd")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def paste(self, source: Self, labels: Collection[int], rng: np.random.Generator) -> None:
        """None: a pasted person would hide keypoints of the others, and their visibility would be wrong."""

    def relabelled(self, table: np.ndarray) -> Self:
        """The persons themselves: all are of one category."""
        return self

    def agreement(self, other: Self) -> float:
        """See `Comparable.agreement`: the OKS of each person with its partner in the other reading.

        Persons without a partner count as 0; each counts as much as its score says.
        """
        return matched_similarity(_similarities(self, other), self.scores, other.scores)

    @classmethod
    def consensus(cls, readings: Sequence[Self]) -> Self:
        """See `Comparable.consensus`, best person first.

        Persons are joined by their masks as objects are (`Instances.consensus`). A keypoint lies at the mean of its
        readings, each weighted with its score; its score is their mean.
        """
        if len(readings) == 1:
            return readings[0]
        groups = group_objects([one.masks for one in readings], [one.scores for one in readings])
        if not groups:
            return readings[0]
        persons = cls.merge([_joined([readings[of].select(np.array([which])) for of, which in one]) for one in groups])
        shares = np.array([len(group) for group in groups]) / len(readings)
        persons = replace(persons, scores=(persons.scores * shares).astype(np.float32))
        return persons.select(np.argsort(-persons.scores, kind="stable"))

    def object_labels(self) -> None:
        """None: all persons are of one category."""

    def category_labels(self) -> None:
        """None: all persons are of one category."""


def _similarities(first: Persons, second: Persons) -> np.ndarray:
    """COCO's object keypoint similarity (OKS) of every pair of predicted persons: N x M, in [0, 1].

    It is the mean over the keypoints that at least one of the two is sure of, 0 if there is none. The area is that of
    the two masks, on average.
    """
    areas = (first.masks.sum(axis=(1, 2))[:, None] + second.masks.sum(axis=(1, 2))[None]) / 2
    similar = keypoint_closeness(first.keypoints[:, None], second.keypoints[None], areas)
    sure = np.maximum(first.keypoints[:, None, :, 2], second.keypoints[None, :, :, 2]) >= KEYPOINT_SCORE
    return np.asarray((similar * sure).sum(axis=-1) / np.maximum(sure.sum(axis=-1), 1))


def _joined(readings: Sequence[P]) -> P:
    """One person out of several readings of it, with the mean of their scores."""
    scores, points = (np.concatenate([getattr(one, name) for one in readings]) for name in ("scores", "keypoints"))
    masks = np.concatenate([reading.masks for reading in readings])
    mask = voted_mask(masks, scores)[None]
    weights = np.maximum(points[..., 2], 1e-6)[..., None]
    places = (points[..., :2] * weights).sum(axis=0) / weights.sum(axis=0)
    keypoints = np.concatenate([places, points[..., 2:].mean(axis=0)], axis=-1)[None].astype(np.float32)
    return replace(
        readings[0],
        keypoints=keypoints,
        boxes=boxes_of_masks(mask),
        masks=mask,
        scores=scores.mean(keepdims=True),
        crowd=np.zeros(1, dtype=bool),
    )


def move_keypoints(keypoints: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Keypoints (N x 17 x 3) under a 2 x 3 map into an image of (height, width).

    Where the map mirrors (its determinant is negative), left and right change places. Keypoints that are
    unlabelled or leave the image become (0, 0, 0).
    """
    moved = keypoints.copy()
    moved[..., :2] = keypoints[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    moved[(keypoints[..., 2] == 0) | ~inside_image(moved, size)] = 0
    if np.linalg.det(matrix[:, :2]) < 0:
        moved = moved[:, list(MIRRORED)]
    return moved


def inside_image(points: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Which points (... x 2 or more: x, y) lie on the pixels of an image of (height, width)."""
    x, y = points[..., 0], points[..., 1]
    return (x >= -0.5) & (y >= -0.5) & (x <= size[1] - 0.5) & (y <= size[0] - 0.5)


def _move_boxes(boxes: np.ndarray, masks: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes under a map; if it turns a box or moves it out of the image, the new box is that of the moved mask."""
    first, second = boxes[:, :2] - 0.5, boxes[:, :2] + boxes[:, 2:] - 0.5  # edges, in coordinates of pixel centres
    corners = np.stack([first, second]) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    low, high = corners.min(axis=0), corners.max(axis=0)
    whole = ((low > -0.01) & (high < np.array(size[::-1]) + 0.01)).all(axis=1)
    whole &= not matrix[0, 1] and not matrix[1, 0]
    moved = np.concatenate([low, high - low], axis=1)
    return np.where(whole[:, None], moved, boxes_of_masks(masks)).astype(np.float32)

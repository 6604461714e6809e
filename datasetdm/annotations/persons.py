"""People with their keypoints: the annotation of pose estimation."""

from dataclasses import dataclass

import numpy as np

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


#: Pairs (left, right) of positions in `KEYPOINTS`.
FLIP_PAIRS = tuple(
    (position, KEYPOINTS.index(name.replace("left", "right")))
    for position, name in enumerate(KEYPOINTS)
    if name.startswith("left")
)


@dataclass(frozen=True, kw_only=True)
class Persons:
    """People of one image with their keypoints: the annotation or a prediction of the `pose` task.

    Attributes:
        keypoints: float32, N x K x 3: x, y in pixels of the image and COCO's visibility (0 not labelled,
            1 labelled but hidden, 2 visible); K = 17 in COCO's order. Of a prediction the third number is the
            keypoint's score in [0, 1].
        boxes: float32, N x 4: x, y, width, height in pixels.
        masks: bool, N x H x W, visible pixels of each person, or those of its box where nobody drew a mask; see
            `Instances.masks`.
        scores: float32, N, in [0, 1]; 1 for an annotation.
        crowd: bool, N; neither learnt nor counted as a miss (COCO's `iscrowd`).
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

    def select(self, index: np.ndarray) -> "Persons":
        """The persons that `index` (boolean mask or integer indices) picks."""
        return Persons(
            keypoints=self.keypoints[index],
            boxes=self.boxes[index],
            masks=self.masks[index],
            scores=self.scores[index],
            crowd=self.crowd[index],
        )

    def relabelled(self, table: np.ndarray) -> "Persons":
        """The persons themselves: they are of one category."""
        return self

"""Skeletons of persons: which keypoints and limbs are shown, in which colour, and how they are painted."""

from collections.abc import Iterator

import cv2
import numpy as np

from datasetdm.annotations.persons import KEYPOINT_SCORE, KEYPOINTS, SKELETON, Persons

#: The person's left in orange, the right in green, the rest in blue, as in COCO's own demos.
COLOURS = {"left": (255, 140, 0), "right": (60, 210, 60), "middle": (60, 160, 255)}


def limbs(points: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The side and the two ends (2 x 2: x, y) of each limb of a person (17 x 3) whose keypoints are both shown."""
    shown = _shown(points)
    for first, second in np.array(SKELETON) - 1:
        if shown[first] and shown[second]:
            yield _side(KEYPOINTS[first], KEYPOINTS[second]), points[[first, second], :2]


def joints(points: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The side and the place (x, y) of each keypoint of a person (17 x 3) that is shown."""
    for name, point, shown in zip(KEYPOINTS, points, _shown(points), strict=True):
        if shown:
            yield _side(name), point[:2]


def person_text(score: float, crowd: bool) -> str:
    """The lettering of a person."""
    return "crowd" if crowd else f"{score:.2f}" if score < 1 else ""


def paint_skeletons(picture: np.ndarray, persons: Persons, scale: float) -> None:
    """Paint the skeletons on a picture that is `scale` times as large as the persons' image."""
    for points in persons.keypoints:
        for side, ends in limbs(points):
            start, end = _pixels(ends, scale)
            cv2.line(picture, start, end, (0, 0, 0), 4, cv2.LINE_AA)
            cv2.line(picture, start, end, COLOURS[side], 2, cv2.LINE_AA)
        for side, place in joints(points):
            (centre,) = _pixels(place[None], scale)
            cv2.circle(picture, centre, 4, (0, 0, 0), -1, cv2.LINE_AA)
            cv2.circle(picture, centre, 3, COLOURS[side], -1, cv2.LINE_AA)


def _pixels(points: np.ndarray, scale: float) -> list[list[int]]:
    return np.rint((points + 0.5) * scale - 0.5).astype(int).tolist()


def _shown(points: np.ndarray) -> np.ndarray:
    """bool, 17: labelled or, in a prediction, sure enough."""
    return (points[:, 2] > 0) & (points[:, 2] >= KEYPOINT_SCORE)


def _side(*names: str) -> str:
    for side in ("left", "right"):
        if all(name.startswith(side) for name in names):
            return side
    return "middle"

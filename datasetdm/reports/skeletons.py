"""Persons painted over an image: a mask and a skeleton each."""

import cv2
import numpy as np

from datasetdm.annotations.persons import KEYPOINTS, SKELETON, Persons
from datasetdm.reports.paint import paint_masks

LEFT, RIGHT, MIDDLE = (255, 140, 0), (60, 210, 60), (60, 160, 255)  # orange, green, blue as in COCO's own demos


def paint_persons(image: np.ndarray, persons: Persons, least: float) -> np.ndarray:
    """Masks as light areas, skeletons over them: the person's left in orange, the right in green.

    Args:
        image: uint8 H x W x 3.
        persons: annotated or predicted.
        least: keypoints whose third number (visibility or score) is lower are left out.

    Returns:
        uint8 picture, enlarged as by `enlarge`.
    """
    texts = [
        "crowd" if crowd else f"{score:.2f}" if score < 1 else ""
        for score, crowd in zip(persons.scores, persons.crowd, strict=True)
    ]
    picture = paint_masks(image, persons.masks, texts, opacity=0.25)
    factor = picture.shape[0] / image.shape[0]
    for points in persons.keypoints:
        places = np.rint((points[:, :2] + 0.5) * factor - 0.5).astype(int).tolist()
        shown = (points[:, 2] > 0) & (points[:, 2] >= least)
        for first, second in np.array(SKELETON) - 1:
            if shown[first] and shown[second]:
                colour = _colour(KEYPOINTS[first], KEYPOINTS[second])
                cv2.line(picture, places[first], places[second], colour, 2, cv2.LINE_AA)
        for name, place, seen in zip(KEYPOINTS, places, shown, strict=True):
            if seen:
                cv2.circle(picture, place, 4, (0, 0, 0), -1, cv2.LINE_AA)
                cv2.circle(picture, place, 3, _colour(name), -1, cv2.LINE_AA)
    return picture


def _colour(*names: str) -> tuple[int, int, int]:
    if all(name.startswith("left") for name in names):
        return LEFT
    return RIGHT if all(name.startswith("right") for name in names) else MIDDLE

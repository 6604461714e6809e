"""`python -m docs.make.labelling`: the figure of docs/tutorial-own-data.md, how a photograph should be labelled.

The photograph comes with scikit-learn (flower.jpg; by vultilion, flickr.com/photos/vultilion/6056698931, CC BY 2.0).
The masks are cut out of the boxes below by GrabCut.
"""

from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_sample_image

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category
from datasetdm.reports.overlays import overlay
from docs.make.svg import document, photograph, text

FILE = Path(__file__).parents[1] / "images" / "labelling.svg"
FLOWERS = ((168, 84, 280, 276), (286, 372, 186, 55))  # x, y, width, height in pixels
SIDE, GAP, LEFT = 270, 18, 20


def main() -> None:
    """Write the figure."""
    image = load_sample_image("flower.jpg")
    masks = np.stack([cut_out(image, box) for box in FLOWERS])
    panels = [
        ("Not this: one flower has no label", _labelled(image, masks[:1])),
        ("Not this: boxes have no outline", _boxed(image)),
        ("Every object, with its outline", _labelled(image, masks)),
    ]
    height = SIDE * image.shape[0] / image.shape[1]
    parts = []
    for number, (title, panel) in enumerate(panels):
        x = LEFT + number * (SIDE + GAP)
        parts += [
            photograph(x, 20, SIDE, height, panel),
            text(x, height + 40, title, "bold" if number == 2 else "soft"),
        ]
    width = 2 * LEFT + 3 * SIDE + 2 * GAP
    FILE.write_text(document(width, int(height) + 54, "Three ways to label a photograph of two flowers.", *parts))


def cut_out(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """The mask (bool, H x W) of what is in a box, by GrabCut, without holes."""
    marks, background, foreground = np.zeros(image.shape[:2], np.uint8), np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    bgr = np.ascontiguousarray(image[..., ::-1])
    cv2.grabCut(bgr, marks, box, background, foreground, 5, cv2.GC_INIT_WITH_RECT)
    found = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    outlines, _ = cv2.findContours(found, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    whole = cv2.drawContours(np.zeros_like(found), [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return whole.astype(bool)


def _labelled(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    flowers = Instances.of(masks, np.zeros(len(masks), np.int64))
    return overlay(flowers, image, [Category(id=1, name="flower")], side=2 * SIDE)


def _boxed(image: np.ndarray) -> np.ndarray:
    picture = image.copy()
    for x, y, width, height in FLOWERS:
        cv2.rectangle(picture, (x, y), (x + width, min(y + height, image.shape[0] - 2)), (255, 0, 200), 3)
    return picture


if __name__ == "__main__":
    main()

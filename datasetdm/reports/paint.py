"""Coloured areas with lettering over a picture."""

import colorsys
from collections.abc import Mapping

import cv2
import numpy as np

SMALLEST_SIDE = 384  # smaller pictures are enlarged by a whole factor, so that lettering can be read
GOLDEN_RATIO = 0.618033988749895  # steps of it around the colour circle never come close to one another


def palette(count: int) -> np.ndarray:
    """Distinct colours, uint8 count x 3."""
    colours = [colorsys.hsv_to_rgb(index * GOLDEN_RATIO % 1, 0.85, 1.0) for index in range(count)]
    return (255 * np.array(colours).reshape(count, 3)).astype(np.uint8)


def enlarge(array: np.ndarray) -> np.ndarray:
    """A picture or mask (H x W [x 3]) by the whole factor that brings its shorter side to about SMALLEST_SIDE."""
    factor = max(1, round(SMALLEST_SIDE / min(array.shape[:2])))
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def paint_masks(image: np.ndarray, masks: np.ndarray, texts: list[str], opacity: float = 0.45) -> np.ndarray:
    """Masks as coloured areas with an outline and a text each.

    Args:
        image: uint8 H x W x 3.
        masks: bool N x H x W.
        texts: N short labels.
        opacity: of the coloured areas.

    Returns:
        uint8 picture, enlarged as by `enlarge`.
    """
    picture = enlarge(image).copy()
    colours = palette(len(masks))
    enlarged = [enlarge(mask) for mask in masks]
    for mask, colour in zip(enlarged, colours, strict=True):
        picture[mask] = (picture[mask] * (1 - opacity) + colour * opacity).astype(np.uint8)
        outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, outline, -1, colour.tolist(), 1)
    for mask, text in zip(enlarged, texts, strict=True):  # lettering last, above all areas
        _write(picture, mask, text)
    return picture


def _write(picture: np.ndarray, mask: np.ndarray, text: str) -> None:
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
    left = int(np.clip(columns.min(), 0, max(0, picture.shape[1] - width)))
    bottom = int(np.clip(rows.min() - 2, height + 1, picture.shape[0] - 2))
    for colour, thickness in ((0, 3), (255, 1)):  # white on a black rim is readable on any ground
        cv2.putText(picture, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.4, [colour] * 3, thickness, cv2.LINE_AA)


def paint_labels(
    image: np.ndarray, labels: np.ndarray, texts: Mapping[int, str], ignore: int, opacity: float = 0.5
) -> np.ndarray:
    """A map of labels as coloured areas; a label has the same colour on every picture.

    Args:
        image: uint8 H x W x 3.
        labels: integers, H x W.
        texts: the text of each label that is shown; pixels of other labels are left as they are.
        ignore: label of the pixels that are not known, which become darker.
        opacity: of the coloured areas.

    Returns:
        uint8 picture, enlarged as by `enlarge`.
    """
    picture, enlarged = enlarge(image).copy(), enlarge(labels)
    picture[enlarged == ignore] //= 3
    areas = {label: enlarged == label for label in np.unique(labels).tolist() if label in texts}
    for label, area in areas.items():
        colour = palette(label + 1)[label]
        picture[area] = (picture[area] * (1 - opacity) + colour * opacity).astype(np.uint8)
    for label, area in areas.items():
        _write(picture, _core(area), texts[label])
    return picture


def _core(area: np.ndarray) -> np.ndarray:
    """The one pixel of an area (bool H x W) that is farthest from its border."""
    depth = cv2.distanceTransform(np.pad(area, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    core = np.zeros_like(area)
    core.flat[depth.argmax()] = True
    return core

"""Many pictures on one contact sheet."""

from collections.abc import Sequence

import cv2
import numpy as np

GAP = 4
WHITE = 255


def contact_sheet(pictures: Sequence[np.ndarray], *, columns: int = 6, cell: int = 192) -> np.ndarray:
    """Pictures (uint8 H x W x 3, any size) in a grid, each fitted into a square cell of `cell` pixels.

    Raises:
        ValueError: `pictures` is empty.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    step = cell + GAP
    sheet = np.full((rows * step + GAP, columns * step + GAP, 3), WHITE, np.uint8)
    for number, picture in enumerate(pictures):
        fitted = _fit(picture, cell)
        top = GAP + (number // columns) * step + (cell - fitted.shape[0]) // 2
        left = GAP + (number % columns) * step + (cell - fitted.shape[1]) // 2
        sheet[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
    return sheet


def _fit(picture: np.ndarray, cell: int) -> np.ndarray:
    scale = cell / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)

"""Affine maps of images, and images resized."""

import cv2
import numpy as np

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def squeeze(image: np.ndarray, side: int) -> np.ndarray:
    """The whole image resized to `side` x `side`; nothing is cut off or padded, the proportions change instead."""
    return resized(image, (side, side))


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image at (height, width), without aliasing if it shrinks."""
    if image.shape[:2] == size:
        return image
    shrinking = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)


def resize_matrix(source: tuple[int, int], output: tuple[int, int]) -> np.ndarray:
    """The 2 x 3 map of a resize from (height, width) to (height, width); pixel centres lie on whole numbers."""
    scale_y, scale_x = output[0] / source[0], output[1] / source[1]
    return np.array([[scale_x, 0.0, (scale_x - 1) / 2], [0.0, scale_y, (scale_y - 1) / 2]])


def mirror_maps(side: int) -> list[np.ndarray]:
    """Maps of a picture to itself and to its eight mirrored neighbours, as in cv2.BORDER_REFLECT."""
    axis = ((1.0, 0.0), (-1.0, -1.0), (-1.0, 2.0 * side - 1.0))  # (factor, offset): itself, before, after
    return [np.array([[fx, 0.0, ox], [0.0, fy, oy]]) for fx, ox in axis for fy, oy in axis]


def compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The 2 x 3 map that does `inner` first."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])

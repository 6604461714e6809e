"""Geometry of masks and boxes."""

import cv2
import numpy as np


def warp_masks(masks: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks (bool, N x H x W) under an affine map, at (height, width); see `Annotation.warp`."""
    height, width = size
    warped = np.zeros((len(masks), height, width), dtype=bool)
    for output, mask in zip(warped, masks, strict=True):
        output[:] = cv2.warpAffine(mask.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST)
    return warped


def boxes_of_masks(masks: np.ndarray) -> np.ndarray:
    """Tight boxes (float32, N x 4: x, y, width, height) of masks of at least a pixel each (bool, N x H x W)."""
    boxes = [cv2.boundingRect(mask.astype(np.uint8)) for mask in masks]
    return np.array(boxes, dtype=np.float32).reshape(len(masks), 4)


def masks_of_boxes(boxes: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The pixels (bool, N x H x W) of an image of (height, width) whose centres lie in each box."""
    left, top, width, height = boxes.T[..., None, None]
    rows, columns = np.arange(size[0])[:, None] + 0.5, np.arange(size[1])[None] + 0.5
    return (columns > left) & (columns < left + width) & (rows > top) & (rows < top + height)

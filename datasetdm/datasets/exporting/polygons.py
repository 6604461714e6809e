"""Masks as polygons along the edges of their pixels, so that they come back pixel by pixel."""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree


def polygons_of(mask: np.ndarray) -> list[np.ndarray]:
    """A polygon for each connected part of a mask; holes are joined to the outline around them by a seam.

    A seam is a line that leads there and back: it covers nothing, but readers that draw the line itself show it.

    Args:
        mask: bool, H x W.

    Returns:
        int64, P x 2 each: x, y of corners of pixels, from the image's upper left corner.
    """
    top, left = (int(indices.min()) if indices.size else 0 for indices in np.nonzero(mask))
    cut = mask[top : top + 1 + _last(mask, 1), left : left + 1 + _last(mask, 0)]
    # In an enlarged mask the outermost pixels tell the edges of the original ones apart: see `_corners`.
    large = np.repeat(np.repeat(cut.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, hierarchy = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return []
    rings = [_corners(contour[:, 0]) + np.array([left, top]) for contour in contours]
    parents = hierarchy[0, :, 3]
    return [
        joined([ring, *(rings[hole] for hole in np.flatnonzero(parents == number))])
        for number, ring in enumerate(rings)
        if parents[number] < 0
    ]


def joined(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Several rings (P x 2 each) as one, joined by seams where they are closest."""
    whole, *others = rings
    for ring in others:
        distances, nearest = cKDTree(whole).query(ring)
        start = int(np.argmin(distances))
        at = int(nearest[start])
        loop = np.concatenate([ring[start:], ring[: start + 1]])
        whole = np.concatenate([whole[: at + 1], loop, whole[at:]])
    return whole


def _corners(contour: np.ndarray) -> np.ndarray:
    """The corners along the edges of the original pixels, of a contour of the mask at twice its size.

    Pixel x of the original is 2x and 2x + 1 there: 2x lies at its left edge (x), 2x + 1 at its right one (x + 1).
    """
    points = (contour.astype(np.int64) + 1) // 2
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    back = (before * after).sum(axis=1) < 0  # a line that turns on itself
    return points[turns | back]


def _last(mask: np.ndarray, axis: int) -> int:
    """How far the last pixel lies from the first, along the other axis."""
    found = np.flatnonzero(mask.any(axis=axis))
    return int(found[-1] - found[0]) if found.size else 0

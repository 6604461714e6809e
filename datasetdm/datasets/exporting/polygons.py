"""Masks as polygons along the edges of their pixels, so that they come back pixel by pixel."""

from collections import defaultdict
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
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return []
    top, left = rows[0], columns[0]
    cut = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    # In an enlarged mask the outermost pixels tell the edges of the original ones apart: see `_corners`.
    large = cv2.resize(cut.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, hierarchy = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [_corners(contour[:, 0]) + np.array([left, top]) for contour in contours]
    parents = hierarchy[0, :, 3]
    return [
        joined([ring, *(rings[hole] for hole in np.flatnonzero(parents == number))])
        for number, ring in enumerate(rings)
        if parents[number] < 0
    ]


def joined(rings: Sequence[np.ndarray]) -> np.ndarray:
    """Several rings (P x 2 each) as one: all others are joined to the first by seams, where they are closest to it."""
    first, *others = rings
    if not others:
        return first
    tree = cKDTree(first)
    detours: defaultdict[int, list[np.ndarray]] = defaultdict(list)  # by the point of the first ring where they begin
    for ring in others:
        distances, nearest = tree.query(ring)
        start = int(np.argmin(distances))
        at = int(nearest[start])
        detours[at] += [ring[start:], ring[: start + 1], first[at : at + 1]]
    pieces, done = [], 0
    for at in sorted(detours):
        pieces += [first[done : at + 1], *detours[at]]
        done = at + 1
    return np.concatenate([*pieces, first[done:]])


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

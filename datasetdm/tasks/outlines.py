"""Outlines that follow the picture: a rough mask becomes the start of GrabCut.

The P-Decoder's masks have a fraction of the picture's resolution, and a decoder trained on a few images knows better
where an object is than where it ends: masks leak into neighbours and fall into pieces. The colours of the picture show
the outline better. GrabCut (Rother et al. 2004, in OpenCV) models the colours inside and outside and cuts along edges;
pixels deep inside and far outside of the rough mask are fixed.
"""

import cv2
import numpy as np

REACH = 0.5  # how far beyond the rough mask the object may go, in sides of a square of the mask's area
CORE = 0.2  # how deep within the rough mask the object is certain, in the same measure
LARGEST_REACH = 0.125  # of the image's side
PLAUSIBLE = (0.4, 2.5)  # a cut that changes the area by more than this has lost the object
SPECK = 1 / 2048  # of the image's area: a smaller piece of a semantic map is taken for a mistake


def snap_to_edges(mask: np.ndarray, image: np.ndarray, rounds: int = 1) -> np.ndarray:
    """The largest connected piece of a mask with its outline moved to the edges of the picture.

    Args:
        mask: bool, H x W, not empty.
        image: uint8, H x W x 3.
        rounds: how often; each starts from the outline of the one before, around which other pixels are fixed.

    Returns:
        bool, H x W, one connected piece, not empty; the piece as it was if GrabCut loses the object.
    """
    piece = largest_piece(mask)
    for _ in range(rounds):
        cut = _grab_cut(image, _start(piece))
        least, most = (share * piece.sum() for share in PLAUSIBLE)
        snapped = largest_piece(cut) if least <= cut.sum() <= most else piece
        if (snapped == piece).all():
            break
        piece = snapped
    return piece


def snap_regions(labels: np.ndarray, image: np.ndarray, background: int | None, ignored: int) -> np.ndarray:
    """A semantic map with the outlines of its regions moved to the edges of the picture.

    Each connected piece of a category is a region. The largest is painted first, so that small things stay in front of
    what they cover. What no region covers any more is background.

    Args:
        labels: uint8, H x W.
        image: uint8, H x W x 3.
        background: the label of what is no region; None: a pixel keeps its label until another region covers it.
        ignored: the label of pixels about which nothing is known; they are no region either.

    Returns:
        uint8, H x W.
    """
    regions = [
        (label, piece)
        for label in np.unique(labels)
        if label not in (background, ignored)
        for piece in _pieces(labels == label)
        if piece.mean() >= SPECK
    ]
    snapped = labels.copy()
    if background is not None:
        snapped[labels != ignored] = background
    for label, piece in sorted(regions, key=lambda region: -region[1].sum()):
        snapped[snap_to_edges(piece, image)] = label
    return snapped


def _pieces(mask: np.ndarray) -> list[np.ndarray]:
    """The connected pieces (8 neighbours) of a bool mask."""
    count, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return [pieces == number for number in range(1, count)]


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece (8 neighbours) of a bool mask."""
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:  # the outside and one piece
        return mask
    return np.asarray(pieces == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax())


def _start(mask: np.ndarray) -> np.ndarray:
    """The input of GrabCut for each pixel: object, background, probably object or probably background."""
    side = np.sqrt(mask.sum())
    inside = mask.astype(np.uint8)
    depth, distance = (cv2.distanceTransform(area, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for area in (inside, 1 - inside))
    start = np.full(mask.shape, cv2.GC_BGD, np.uint8)
    start[distance <= min(REACH * side, LARGEST_REACH * max(mask.shape))] = cv2.GC_PR_BGD
    start[mask] = cv2.GC_PR_FGD
    start[depth > min(CORE * side, depth.max() / 2)] = cv2.GC_FGD
    return start


def _grab_cut(image: np.ndarray, start: np.ndarray) -> np.ndarray:
    """bool, H x W; empty if no pixel is certainly background."""
    if (start != cv2.GC_BGD).all():
        return np.zeros(start.shape, dtype=bool)
    cv2.setRNGSeed(0)  # GrabCut initialises its colour models at random; the same picture must give the same outline
    outside, inside = np.zeros((1, 65)), np.zeros((1, 65))  # models of the colours, which OpenCV fills
    labels, _, _ = cv2.grabCut(image, start, (0, 0, 0, 0), outside, inside, 1, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))

"""Images that show the same picture: saved again, in another size, cut at the edges, mirrored, brighter or darker.

Two steps, as a few numbers say which images may be the same, and only a closer look says which are. First every image
is compared with every other by what it looks like at 8 x 8 pixels (`_views`): a product of matrices, which takes
seconds for ten thousand images. Then those that look alike are laid over each other (`cv2.findTransformECC`, after
Evangelidis and Psarakis, TPAMI 2008), and their details are compared: two views of a street are alike at 8 x 8 pixels,
but only copies have the same edges in the same places. `benchmarks/near_copies.py` measures it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from datasetdm.utils.images import read_image
from datasetdm.utils.processors import num_processors
from datasetdm.utils.progress import Progress

SAME = 0.9  # correlation of details from which on two images are copies
_ALIKE = 0.9  # correlation at 8 x 8 pixels from which on two images are laid over each other
_MOST_ALIKE = 4  # of an image, those that are laid over it: a copy is among the most similar
_SIDE = 64  # pixels of the pictures whose details are compared
_INNER = 0.94  # part of an image's sides that a view of its middle shows, to find pictures that were cut
_BLOCK = 512  # images that are compared with all others at a time
_LARGEST_TURN, _LARGEST_ZOOM = 0.04, 1.25  # of the map that lays one image over another: a cut, no distortion
_ENOUGH = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 1e-2)  # steps: copies are found in a few


@dataclass(frozen=True)
class Looks:
    """What images look like.

    Attributes:
        views: float32, N x 4 x 96: the image, mirrored, its middle, and that mirrored; each of length 1, or 0 of an
            image of one colour.
        details: uint8, N x 64 x 64: the image in grey, squeezed into a square.
    """

    views: np.ndarray
    details: np.ndarray

    def __len__(self) -> int:
        return len(self.details)


@dataclass(frozen=True)
class Pair:
    """Two images that are copies: their positions, and the correlation of their details, from `SAME` to 1."""

    first: int
    second: int
    similarity: float


def look_at_images(files: Sequence[Path]) -> Looks:
    """Read images. It takes about as long as decoding them; 80 000 images take 0.5 GB of memory.

    Raises:
        DatasetDMError: a file is missing or damaged.
    """
    views = np.zeros((len(files), 4, 96), dtype=np.float32)
    details = np.zeros((len(files), _SIDE, _SIDE), dtype=np.uint8)
    progress = Progress(len(files), "images looked at")
    with ThreadPoolExecutor(num_processors()) as pool:  # Pillow and OpenCV let other threads work
        for number, (view, detail) in enumerate(pool.map(_look, files)):
            views[number], details[number] = view, detail
            progress.update(number + 1)
    return Looks(views, details)


def near_copies(images: Looks, others: Looks | None = None) -> list[Pair]:
    """The copies among images, or those that images have among others.

    Args:
        images: at positions `Pair.first`; without others also at `Pair.second`, and each pair is found once.
        others: at positions `Pair.second`.
    """
    alike = list(_alike(images, images if others is None else others, once=others is None))
    progress = Progress(len(alike), "pairs of images compared")
    found = []
    for number, (first, second, mirrored) in enumerate(alike, 1):
        detail = (images if others is None else others).details[second]
        similarity = _similarity(images.details[first], detail[:, ::-1] if mirrored else detail)
        if similarity >= SAME:
            found.append(Pair(first, second, similarity))
        progress.update(number)
    return found


def _look(file: Path) -> tuple[np.ndarray, np.ndarray]:
    square = cv2.resize(read_image(file), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return _views(square), cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)


def _views(square: np.ndarray) -> np.ndarray:
    """The views of `Looks`: lightness at 8 x 8 and colour at 4 x 4 pixels, each less its mean."""
    cut = round(_SIDE * (1 - _INNER) / 2)
    found = []
    for part in (square, square[cut:-cut, cut:-cut]):
        for view in (part, np.ascontiguousarray(part[:, ::-1])):
            channels = cv2.cvtColor(view, cv2.COLOR_RGB2YCrCb).astype(np.float32)
            channels -= channels.mean(axis=(0, 1))
            light = cv2.resize(channels[..., 0], (8, 8), interpolation=cv2.INTER_AREA)
            colour = cv2.resize(channels[..., 1:], (4, 4), interpolation=cv2.INTER_AREA)
            numbers = np.concatenate([light.ravel(), 2 * colour.ravel()])  # 2: a pixel of it counts for four
            found.append(numbers / max(float(np.linalg.norm(numbers)), 1e-6))
    return np.stack(found)


def _alike(images: Looks, others: Looks, *, once: bool) -> Iterator[tuple[int, int, bool]]:
    """Pairs that may be copies: position among the images, among the others, and whether one is mirrored."""
    for start in range(0, len(images), _BLOCK):
        own, first = images.views[start : start + _BLOCK], start if once else 0
        known = others.views[first:]
        upright, mirrored = _correlations(own, known, 0), _correlations(own, known, 1)
        best = np.maximum(upright, mirrored)
        if once:
            best[np.tril_indices(len(own), 0, best.shape[1])] = -1  # each pair once, and no image with itself
        for row in np.flatnonzero((best > _ALIKE).any(axis=1)):
            columns = np.flatnonzero(best[row] > _ALIKE)
            columns = columns[np.argsort(-best[row, columns], kind="stable")[:_MOST_ALIKE]]
            for column in columns.tolist():
                yield start + int(row), first + column, bool(mirrored[row, column] > upright[row, column])


def _correlations(own: np.ndarray, known: np.ndarray, mirror: int) -> np.ndarray:
    """The largest correlation of each image with each other one, of which either may show the middle of the other."""
    whole = own[:, 0] @ known[:, mirror].T
    np.maximum(whole, own[:, 0] @ known[:, 2 + mirror].T, out=whole)
    return np.maximum(whole, own[:, 2 + mirror] @ known[:, 0].T, out=whole)


def _similarity(first: np.ndarray, second: np.ndarray) -> float:
    """The correlation of the details of two pictures where they overlap best; -1 if they cannot be laid over."""
    one, other = _edges(first), _edges(second)
    try:
        start = np.eye(2, 3, dtype=np.float32)
        _, moved = cv2.findTransformECC(one, other, start, cv2.MOTION_AFFINE, _ENOUGH)
    except cv2.error:  # it does not converge: they have nothing in common
        return -1.0
    return _correlation(one, other, moved) if _is_cut(moved) else -1.0


def _edges(picture: np.ndarray) -> np.ndarray:
    """A picture less what it is roughly, float32."""
    exact = picture.astype(np.float32)
    return exact - cv2.GaussianBlur(exact, (0, 0), _SIDE / 8)


def _is_cut(moved: np.ndarray) -> bool:
    """Whether a map (2 x 3) zooms and shifts as the cutting of edges does."""
    zooms, turns, shifts = moved[[0, 1], [0, 1]], moved[[0, 1], [1, 0]], moved[:, 2]
    return bool(
        (abs(turns) < _LARGEST_TURN).all()
        and (zooms < _LARGEST_ZOOM).all()
        and (zooms > 1 / _LARGEST_ZOOM).all()
        and (abs(shifts) < (_LARGEST_ZOOM - 1) * _SIDE).all()
    )


def _correlation(one: np.ndarray, other: np.ndarray, moved: np.ndarray) -> float:
    size = (_SIDE, _SIDE)
    laid = cv2.warpAffine(other, moved, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    shared = cv2.warpAffine(np.ones_like(other), moved, size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP) > 0
    shared[:2] = shared[-2:] = shared[:, :2] = shared[:, -2:] = False  # the blur has nothing to go by at the border
    if shared.mean() < 0.5 or min(one[shared].std(), laid[shared].std()) == 0:
        return -1.0
    return float(np.corrcoef(one[shared], laid[shared])[0, 1])

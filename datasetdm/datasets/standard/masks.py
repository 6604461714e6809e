"""Masks in COCO's three notations: polygons, uncompressed and compressed run lengths (RLE).

Pixels are counted column by column, as in COCO. pycocotools does the work; it trusts its input (a cut-off RLE
string makes it read past the end), so everything is checked first.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask


class Outside(ValueError):
    """A polygon that does not lie in its image."""


class EncodedMasks:
    """The masks of one image as run lengths instead of a bool array N x H x W.

    Going through them draws one mask at a time, so that memory holds one and not N: 400 objects in an image of 12
    megapixels are 12 MB in place of 4.8 GB. `np.asarray` draws them all.

    Args:
        runs: compressed RLE as pycocotools has it, of `encode_runs`.
        size: (height, width).
    """

    ndim = 3
    dtype = np.dtype(bool)

    def __init__(self, runs: Sequence[dict[str, Any]], size: tuple[int, int]) -> None:
        self.runs = list(runs)
        self.shape = (len(self.runs), *size)

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (coco_mask.decode(runs).astype(bool) for runs in self.runs)

    def __getitem__(self, index: np.ndarray) -> "EncodedMasks":
        """The masks that a boolean mask or integer indices pick, still encoded."""
        return EncodedMasks([self.runs[number] for number in np.arange(len(self))[index]], self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All masks, bool, N x H x W."""
        masks = np.zeros(self.shape, dtype=bool)
        for mask, runs in zip(masks, self.runs, strict=True):
            mask[:] = coco_mask.decode(runs)
        return masks if dtype is None else masks.astype(dtype, copy=False)

    @property
    def areas(self) -> np.ndarray:
        """Pixels of each mask, int64, N; nothing is drawn."""
        return np.array([int(coco_mask.area(runs)) for runs in self.runs], dtype=np.int64)


def check_segmentation(segmentation: Any, height: int, width: int) -> bool:
    """Look at a segmentation without drawing it.

    Returns:
        Whether polygons reach more than a pixel over the border; they are clipped there when they are drawn.

    Raises:
        Outside: all of it lies outside the image, or a point is off by more than the image's own size.
        ValueError: wrong structure, wrong size, numbers that are none. The message says which.
    """
    if isinstance(segmentation, dict):
        _check_rle(segmentation, height, width)
        return False
    if not isinstance(segmentation, list):
        raise ValueError("'segmentation' is neither a list of polygons nor RLE")
    boxes = [_polygon_box(polygon) for polygon in segmentation]
    inside = False
    clipped = False
    for left, top, right, bottom in boxes:
        if left < -width or top < -height or right > 2 * width or bottom > 2 * height:
            raise Outside(f"a polygon reaches from ({left:g}, {top:g}) to ({right:g}, {bottom:g})")
        inside |= left < width and top < height and right > 0 and bottom > 0
        clipped |= left < -1 or top < -1 or right > width + 1 or bottom > height + 1
    if boxes and not inside:
        left, top, right, bottom = boxes[0]
        raise Outside(f"the polygon from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) lies outside")
    return clipped


def check_many_polygons(
    segmentations: Sequence[Sequence[Sequence[float]]], sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """What `check_segmentation` and `is_drawable` say of many lists of polygons, in a third of the time.

    Args:
        segmentations: N lists of polygons, of which some may be empty.
        sizes: int, N x 2, width and height of each one's image.

    Returns:
        Whether polygons are clipped and whether there is anything to draw, bool, N each. None if `check_segmentation`
        would raise for any of them.
    """
    count = len(segmentations)
    lengths = np.fromiter((len(polygon) for polygons in segmentations for polygon in polygons), np.int64)
    if not len(lengths):
        return np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    if (lengths == 0).any() or (lengths % 2).any():
        return None
    owners = np.repeat(np.arange(count), [len(polygons) for polygons in segmentations])
    flat = chain.from_iterable(chain.from_iterable(segmentations))
    points = np.fromiter(flat, np.float64, int(lengths.sum())).reshape(-1, 2)
    starts = (np.cumsum(lengths) - lengths) // 2
    low, high, size = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts), sizes[owners]
    inside = _of_any(((low < size) & (high > 0)).all(axis=1), owners, count)
    if not ((low >= -size) & (high <= 2 * size)).all() or not inside[owners].all():  # NaN is neither
        return None
    clipped = _of_any(((low < -1) | (high > size + 1)).any(axis=1), owners, count)
    return clipped, _of_any(lengths >= 6, owners, count)


def _of_any(polygons: Any, owners: np.ndarray, count: int) -> np.ndarray:
    """For each of `count` owners, whether any of its polygons is true; bool."""
    return np.bincount(owners, polygons, count) > 0


def is_drawable(segmentation: Any) -> bool:
    """Whether there is at least one polygon with three points, or RLE."""
    return isinstance(segmentation, dict) or any(len(polygon) >= 6 for polygon in segmentation)


def decode_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """The mask, bool H x W, of a segmentation that `check_segmentation` has passed.

    Raises:
        ValueError: the run lengths are damaged or do not add up to the image.
    """
    return coco_mask.decode(encode_runs(segmentation, height, width)).astype(bool)


def encode_runs(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """A segmentation that `check_segmentation` has passed as compressed RLE of pycocotools; no mask is drawn.

    Raises:
        ValueError: the run lengths are damaged or do not add up to the image.
    """
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        runs = np.asarray(counts, dtype=np.int64) if isinstance(counts, list) else _parse_counts([counts])[0]
        if (runs < 0).any() or int(runs.sum()) != height * width:
            raise ValueError(f"the RLE does not add up to the image's {height} x {width} pixels")
        rle = {"counts": counts, "size": [height, width]}
        return coco_mask.frPyObjects(rle, height, width) if isinstance(counts, list) else rle
    # Two points are a box to pycocotools, and fewer an error: neither is an area.
    polygons = [list(polygon) for polygon in segmentation if len(polygon) >= 6]
    if not polygons:
        return coco_mask.frPyObjects({"counts": [height * width], "size": [height, width]}, height, width)
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))


def encode_box(box: Sequence[float], height: int, width: int) -> dict[str, Any]:
    """The pixels whose centres lie in a box (x, y, width, height) as compressed RLE; it may reach out of the image."""
    left, top = (max(0, math.ceil(side - 0.5)) for side in box[:2])
    right = min(width, math.ceil(box[0] + box[2] - 0.5))
    bottom = min(height, math.ceil(box[1] + box[3] - 0.5))
    mask = np.zeros((height, width), dtype=np.uint8, order="F")
    mask[top : max(bottom, top), left : max(right, left)] = 1
    return coco_mask.encode(mask)


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """A bool H x W mask as compressed RLE, ready for JSON: `{"size": [H, W], "counts": str}`."""
    return _ready_for_json(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def encoded(masks: "np.ndarray | EncodedMasks") -> Iterator[dict[str, Any]]:
    """Each of several masks as by `encode_mask`; those that are encoded already are not drawn for it."""
    return map(_ready_for_json, masks.runs) if isinstance(masks, EncodedMasks) else map(encode_mask, masks)


def _ready_for_json(rle: dict[str, Any]) -> dict[str, Any]:
    counts = rle["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in rle["size"]], "counts": text}


def _polygon_box(polygon: Any) -> tuple[float, float, float, float]:
    if not isinstance(polygon, list) or len(polygon) % 2 or not polygon:
        raise ValueError("a polygon is not a list of x, y, x, y, ...")
    try:
        finite = math.isfinite(sum(polygon))
    except (TypeError, OverflowError):
        finite = False
    if not finite:
        raise ValueError("a polygon has a coordinate that is not a number")
    x, y = polygon[0::2], polygon[1::2]
    return min(x), min(y), max(x), max(y)


def _check_rle(rle: dict[str, Any], height: int, width: int) -> None:
    if rle.get("size") != [height, width]:
        raise ValueError(f"the RLE is for size {rle.get('size')}, the image is [{height}, {width}] (height, width)")
    counts = rle.get("counts")
    if isinstance(counts, list):
        if not all(type(count) is int and 0 <= count <= height * width for count in counts):
            raise ValueError("the RLE holds counts that are not whole numbers within the image")
    elif not isinstance(counts, str):
        raise ValueError("the RLE has no 'counts' (list or string)")


def areas_of_runs(texts: Sequence[str], pixels: np.ndarray) -> np.ndarray:
    """The pixels in each of many masks, without drawing one.

    Args:
        texts: the compressed run lengths of N masks.
        pixels: int64, N, of each mask's image.

    Returns:
        int64, N.

    Raises:
        ValueError: some of them are damaged, or do not add up to the image.
    """
    if not texts:
        return np.zeros(0, dtype=np.int64)
    runs, starts = _parse_counts(texts)
    if (runs < 0).any() or (np.add.reduceat(runs, starts) != pixels).any():
        raise ValueError("an RLE does not add up to its image's pixels")
    place = np.arange(len(runs)) - np.repeat(starts, np.diff(starts, append=len(runs)))
    return np.add.reduceat(np.where(place % 2, runs, 0), starts)  # the first run is outside


def _parse_counts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths of compressed RLE strings, at least one: all of them, int64, and where those of each string begin.

    The format is COCO's (`rleToString` in maskApi.c): signed numbers of 5 bits per character, lowest first, bit 5
    says that more follow; from the fourth number on, each is the difference to the one two before.
    """
    letters = [text.encode() for text in texts]
    codes = np.frombuffer(b"".join(letters), dtype=np.uint8).astype(np.int64) - 48
    ends = np.cumsum([len(text) for text in letters])
    if not all(letters) or codes.min() < 0 or codes.max() > 63 or (codes[ends - 1] & 32).any():
        raise ValueError("the RLE string is damaged or cut off")
    last = np.flatnonzero((codes & 32) == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    digits = last - first + 1
    if digits.max() > 12:  # 60 bits; no image has such runs
        raise ValueError("the RLE string is damaged")
    place = np.arange(len(codes)) - np.repeat(first, digits)
    values = np.add.reduceat((codes & 31) << (5 * place), first)
    negative = (codes[last] & 16) != 0
    values[negative] -= np.int64(1) << (5 * digits[negative])
    starts = np.concatenate([[0], np.searchsorted(last, ends[:-1])])
    return _undo_differences(values, starts), starts


def _undo_differences(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Runs, of the numbers of several strings that begin at `starts`."""
    counts = np.diff(starts, append=len(values))
    place = np.arange(len(values)) - np.repeat(starts, counts)
    runs = values.copy()
    for chosen in (place % 2 == 1, (place % 2 == 0) & (place > 0)):
        sums = np.cumsum(np.where(chosen, values, 0))
        before = np.repeat((sums - np.where(chosen, values, 0))[starts], counts)
        runs[chosen] = (sums - before)[chosen]
    return runs

"""Masks in COCO's three notations, against pycocotools where it can be trusted."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from datasetdm.datasets.standard.masks import (
    Outside,
    areas_of_runs,
    check_many_polygons,
    check_segmentation,
    decode_mask,
    encode_mask,
    is_drawable,
)

masks = hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(masks)
@settings(deadline=None, max_examples=60)
def test_compressed_rle_reads_back(mask: np.ndarray) -> None:
    rle = encode_mask(mask)
    assert not check_segmentation(rle, *mask.shape)
    assert np.array_equal(decode_mask(rle, *mask.shape), mask)


@given(masks)
@settings(deadline=None, max_examples=60)
def test_uncompressed_rle_reads_back(mask: np.ndarray) -> None:
    flat = mask.ravel(order="F")
    borders = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *borders, flat.size]).tolist()
    rle = {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}
    check_segmentation(rle, *mask.shape)
    assert np.array_equal(decode_mask(rle, *mask.shape), mask)


@given(st.text(max_size=30))
@settings(deadline=None, max_examples=200)
def test_arbitrary_rle_text_is_a_mask_or_a_value_error(text: str) -> None:
    rle = {"size": [6, 7], "counts": text}
    check_segmentation(rle, 6, 7)
    try:
        mask = decode_mask(rle, 6, 7)
    except ValueError:
        return
    assert mask.shape == (6, 7)
    assert np.array_equal(mask, coco_mask.decode(rle).astype(bool))


@given(masks, st.data())
@settings(deadline=None, max_examples=60)
def test_cut_off_rle_text_is_refused(mask: np.ndarray, data: st.DataObject) -> None:
    rle = encode_mask(mask)
    rle["counts"] = rle["counts"][: data.draw(st.integers(0, len(rle["counts"]) - 1))]
    with pytest.raises(ValueError, match="RLE"):
        decode_mask(rle, *mask.shape)


def test_polygons_are_drawn_as_pycocotools_does() -> None:
    polygons = [[1, 1, 8, 1, 8, 6, 1, 6], [10.5, 3.2, 14.1, 3.9, 12.0, 8.8]]
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, 12, 16))).astype(bool)
    assert not check_segmentation(polygons, 12, 16)
    assert np.array_equal(decode_mask(polygons, 12, 16), expected)
    # Two points are no area, though pycocotools would take four numbers for a box.
    assert np.array_equal(decode_mask([*polygons, [0, 0, 9, 9]], 12, 16), expected)


def test_a_polygon_over_the_border_is_cut_there() -> None:
    polygon = [[-5, -5, 8, -5, 8, 6, -5, 6]]
    assert check_segmentation(polygon, 12, 16)
    mask = decode_mask(polygon, 12, 16)
    assert mask[:6, :8].all() and not mask[7:].any() and not mask[:, 9:].any()


@given(
    st.lists(st.lists(st.floats(-1e300, 1e300) | st.integers(-(10**400), 10**400), min_size=2, max_size=12), max_size=3)
)
@settings(deadline=None, max_examples=200)
def test_whatever_passes_the_check_can_be_drawn(polygons: list[list[float]]) -> None:
    try:
        check_segmentation(polygons, 9, 11)
    except ValueError:
        return
    assert decode_mask(polygons, 9, 11).shape == (9, 11)


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        ([[100, 100, 120, 100, 120, 120]], "reaches from"),
        ([[17, 1, 20, 1, 20, 5]], "outside"),
        ([[1e9, 0, 3, 3, 5, 5]], "reaches from"),
    ],
)
def test_polygons_outside_are_told(segmentation: object, says: str) -> None:
    with pytest.raises(Outside, match=says):
        check_segmentation(segmentation, 12, 16)


@pytest.mark.parametrize(
    "segmentation",
    [
        "text",
        None,
        [3, 4, 5],
        [[]],
        [[1, 2, 3]],
        [["a", "b"]],
        [[float("nan"), 1, 2, 2, 3, 3]],
        [[[1, 2], [3, 4]]],
        {},
        {"size": [12, 16]},
        {"size": [16, 12], "counts": "0"},
        {"size": [12, 16], "counts": [1.5, 2]},
        {"size": [12, 16], "counts": [-1, 193]},
        {"size": [12, 16], "counts": [10**30]},
        {"size": [12, 16], "counts": 7},
    ],
)
def test_malformed_segmentations_are_told(segmentation: object) -> None:
    with pytest.raises(ValueError, match=r"segmentation|polygon|RLE"):
        check_segmentation(segmentation, 12, 16)


def test_counts_that_do_not_add_up_are_told() -> None:
    with pytest.raises(ValueError, match="add up"):
        decode_mask({"size": [4, 4], "counts": [3, 5]}, 4, 4)


def test_what_is_drawable() -> None:
    assert is_drawable([[0, 0, 1, 1, 2, 0]])
    assert is_drawable({"size": [1, 1], "counts": [1]})
    assert not is_drawable([])
    assert not is_drawable([[0, 0, 1, 1]])


polygon_lists = st.lists(st.lists(st.integers(-30, 60).map(float), max_size=8), max_size=3)


@given(st.lists(polygon_lists, max_size=4), st.data())
@settings(deadline=None, max_examples=300)
def test_many_polygons_are_judged_as_each_would_be(segmentations: list[list[list[float]]], data: st.DataObject) -> None:
    sizes = [data.draw(st.tuples(st.integers(5, 30), st.integers(5, 30))) for _ in segmentations]
    try:
        expected = [
            (check_segmentation(one, height, width), is_drawable(one))
            for one, (width, height) in zip(segmentations, sizes, strict=True)
        ]
    except ValueError:
        expected = None
    found = check_many_polygons(segmentations, np.array(sizes, dtype=np.int64).reshape(-1, 2))
    assert (None if found is None else list(zip(*(each.tolist() for each in found), strict=True))) == expected


@given(st.lists(masks, max_size=5))
@settings(deadline=None, max_examples=100)
def test_areas_of_many_masks(many: list[np.ndarray]) -> None:
    texts = [encode_mask(mask)["counts"] for mask in many]
    found = areas_of_runs(texts, np.array([mask.size for mask in many], dtype=np.int64))
    assert found.tolist() == [int(mask.sum()) for mask in many]


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: "", lambda text: text + "1", lambda text: "é"])
def test_one_damaged_mask_among_many_is_noticed(change: Callable[[str], str]) -> None:
    texts = [encode_mask(np.eye(9, dtype=bool))["counts"] for _ in range(3)]
    texts[1] = change(texts[1])
    with pytest.raises(ValueError, match="RLE"):
        areas_of_runs(texts, np.full(3, 81))
    with pytest.raises(ValueError, match="RLE"):
        areas_of_runs(texts[:1], np.full(1, 80))

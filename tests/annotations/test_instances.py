from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category
from datasetdm.transforms.geometry import IDENTITY, resize_matrix

CATEGORIES = (Category(id=3, name="box"), Category(id=7, name="disc"), Category(id=90, name="star"))


SIZE = (24, 32)


def random_instances(seed: int, count: int = 3, size: tuple[int, int] = SIZE) -> Instances:
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, *size), dtype=bool)
    for mask in masks:
        top, left = rng.integers(0, size[0] - 4), rng.integers(0, size[1] - 4)
        mask[top : top + rng.integers(2, 12), left : left + rng.integers(2, 12)] = True
    return Instances(
        masks=masks,
        labels=rng.integers(0, 3, count),
        scores=rng.uniform(0.1, 1, count).astype(np.float32),
        crowd=rng.random(count) < 0.3,
    )


def apart(labels: tuple[int, ...] = (0, 2, 1)) -> Instances:
    masks = np.zeros((3, *SIZE), dtype=bool)
    masks[0, 2:10, 2:10], masks[1, 12:22, 4:14], masks[2, 4:20, 18:30] = True, True, True
    return Instances.of(masks, np.array(labels))


def assert_same(first: Instances, second: Instances) -> None:
    np.testing.assert_array_equal(first.masks, second.masks)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_allclose(first.scores, second.scores)
    np.testing.assert_array_equal(first.crowd, second.crowd)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_identity_changes_nothing(seed: int) -> None:
    instances = random_instances(seed)
    assert_same(instances.warp(IDENTITY, SIZE), instances)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=30, deadline=None)
def test_two_mirrorings_undo_each_other(seed: int, upright: bool) -> None:
    instances = random_instances(seed)
    height, width = SIZE
    matrix = np.array([[1.0, 0, 0], [0, -1, height - 1]]) if upright else np.array([[-1.0, 0, width - 1], [0, 1, 0]])
    once = instances.warp(matrix, SIZE)
    np.testing.assert_array_equal(once.masks, np.flip(instances.masks, axis=1 if upright else 2))
    assert_same(once.warp(matrix, SIZE), instances)


@given(st.integers(0, 10_000), st.integers(-20, 20), st.integers(-20, 20))
@settings(max_examples=30, deadline=None)
def test_shifts_move_masks_and_drop_what_leaves(seed: int, right: int, down: int) -> None:
    instances = random_instances(seed)
    moved = instances.warp(np.array([[1.0, 0, right], [0, 1, down]]), SIZE)
    expected = np.zeros_like(instances.masks)
    for index, row, column in np.argwhere(instances.masks):
        if 0 <= row + down < SIZE[0] and 0 <= column + right < SIZE[1]:
            expected[index, row + down, column + right] = True
    seen = expected.any(axis=(1, 2))
    np.testing.assert_array_equal(moved.masks, expected[seen])
    np.testing.assert_array_equal(moved.labels, instances.labels[seen])


def test_warp_follows_the_image() -> None:
    """A mask is moved as the picture of the mask is."""
    matrix = cv2.getRotationMatrix2D((16, 12), 30, 1.5)
    mask = np.zeros(SIZE, dtype=bool)
    mask[8:16, 10:22] = True
    warped = Instances.of(mask[None], np.array([0])).warp(matrix, (40, 50)).masks[0]
    picture = cv2.warpAffine(mask.astype(np.float32), matrix, (50, 40), flags=cv2.INTER_LINEAR)
    assert (warped[picture > 0.95]).all()
    assert not (warped[picture < 0.05]).any()


def test_resizing_up_and_down_is_exact() -> None:
    instances = random_instances(3)
    large = instances.warp(resize_matrix(SIZE, (72, 96)), (72, 96))
    np.testing.assert_array_equal(large.masks, instances.masks.repeat(3, axis=1).repeat(3, axis=2))
    assert_same(large.warp(resize_matrix((72, 96), SIZE), SIZE), instances)


def test_merge_keeps_all() -> None:
    parts = [random_instances(1, 2), Instances.empty(*SIZE), random_instances(2, 4)]
    merged = Instances.merge(parts)
    assert len(merged) == 6
    assert_same(merged.select(np.arange(2)), parts[0])
    assert_same(merged.select(np.arange(2, 6)), parts[2])
    assert (merged.judged, merged.not_exhaustive) == (None, ())


def test_what_was_judged_survives() -> None:
    target = replace(apart(labels=(0, 0, 0)), judged=(0, 2), not_exhaustive=(0,))
    gone = target.warp(np.array([[1.0, 0, 100], [0, 1, 0]]), SIZE)
    assert len(gone) == 0
    for result in (gone, target.warp(IDENTITY, SIZE), target.select(np.array([1]))):
        assert (result.judged, result.not_exhaustive) == ((0, 2), (0,))


def test_merged_parts_are_judged_together() -> None:
    """0 is in one part and was looked for in all; 1 is in one part and was not looked for in the other."""
    first = replace(apart(labels=(0, 1, 1)), judged=(0, 1))
    second = replace(Instances.empty(*SIZE), judged=(0, 2))
    merged = Instances.merge([first, second])
    assert (merged.judged, merged.not_exhaustive) == ((0, 1), (1,))
    everything = Instances.merge([first, Instances.empty(*SIZE)])  # all was judged in the second part
    assert (everything.judged, everything.not_exhaustive) == ((0, 1), ())
    doubtful = Instances.merge([first, replace(second, judged=(0, 1, 2), not_exhaustive=(0,))])
    assert (doubtful.judged, doubtful.not_exhaustive) == ((0, 1), (0,))


def test_an_object_nobody_looked_for_is_a_contradiction() -> None:
    with pytest.raises(ValueError, match="among the judged"):
        replace(apart(), judged=(0, 1))


def test_pasted_objects_hide_what_lies_below() -> None:
    masks = np.zeros((3, *SIZE), dtype=bool)
    masks[0, 2:12, 2:12], masks[1, 14:20, 14:20], masks[2, 2:12, 3:12] = True, True, True
    below, above = Instances.of(masks[:2], [0, 1]), Instances.of(masks[2:], [2])
    region, joint = below.paste(above, range(3), np.random.default_rng(0))
    np.testing.assert_array_equal(region, masks[2])
    assert joint.labels.tolist() == [1, 2]  # a tenth of the first is left to see
    np.testing.assert_array_equal(joint.masks, masks[1:])


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_of_pasted_objects_at_least_one_is_whole(seed: int) -> None:
    source = random_instances(seed)
    result = random_instances(seed + 1).paste(source, range(3), np.random.default_rng(seed))
    whole = [mask for mask, crowd in zip(source.masks, source.crowd, strict=True) if not crowd]
    if result is None:
        assert not whole
        return
    region, joint = result
    assert any((mask <= region).all() for mask in whole)
    assert not (region & ~np.any(whole, axis=0)).any()
    assert joint.masks.any(axis=(1, 2)).all()


def test_only_the_given_categories_are_pasted() -> None:
    source = apart(labels=(0, 1, 1))
    region, joint = Instances.empty(*SIZE).paste(source, [0], np.random.default_rng(0))
    np.testing.assert_array_equal(region, source.masks[0])
    assert joint.labels.tolist() == [0]
    assert Instances.empty(*SIZE).paste(source, [2], np.random.default_rng(0)) is None


def test_labels_leave_crowds_out() -> None:
    target = replace(apart(labels=(2, 0, 2)), crowd=np.array([False, True, False]))
    assert target.object_labels() == target.category_labels() == (2, 2)

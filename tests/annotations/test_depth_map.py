import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category
from datasetdm.transforms.geometry import IDENTITY, resize_matrix

CATEGORIES = (Category(id=1, name="kitchen", supercategory="room"), Category(id=2, name="office"))


SIZE = (24, 32)


def random_depth(seed: int, size: tuple[int, int] = SIZE) -> DepthMap:
    rng = np.random.default_rng(seed)
    known = rng.random(size) < 0.7
    return DepthMap(depth=np.where(known, rng.uniform(0.5, 9.5, size), 0).astype(np.float32), valid_mask=known)


def ramp(size: tuple[int, int] = SIZE) -> DepthMap:
    """A floor: far above, near below."""
    depth = np.repeat(np.geomspace(8, 1, size[0], dtype=np.float32)[:, None], size[1], axis=1)
    return DepthMap(depth=depth, valid_mask=np.ones(size, dtype=bool))


def assert_same(first: DepthMap, second: DepthMap) -> None:
    np.testing.assert_array_equal(first.valid_mask, second.valid_mask)
    np.testing.assert_array_equal(first.depth, second.depth)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_identity_and_two_mirrorings_change_nothing(seed: int) -> None:
    target = random_depth(seed)
    assert_same(target.warp(IDENTITY, SIZE), target)
    mirror = np.array([[-1.0, 0, SIZE[1] - 1], [0, 1, 0]])
    once = target.warp(mirror, SIZE)
    np.testing.assert_array_equal(once.depth, target.depth[:, ::-1])
    assert_same(once.warp(mirror, SIZE), target)


@given(st.integers(0, 10_000), st.integers(-40, 40), st.integers(-30, 30))
@settings(max_examples=30, deadline=None)
def test_shifts_leave_the_outside_unknown(seed: int, right: int, down: int) -> None:
    target = random_depth(seed)
    moved = target.warp(np.array([[1.0, 0, right], [0, 1, down]]), SIZE)
    depth, known = np.zeros(SIZE, np.float32), np.zeros(SIZE, dtype=bool)
    for row, column in np.argwhere(target.valid_mask):
        if 0 <= row + down < SIZE[0] and 0 <= column + right < SIZE[1]:
            depth[row + down, column + right] = target.depth[row, column]
            known[row + down, column + right] = True
    np.testing.assert_array_equal(moved.valid_mask, known)
    np.testing.assert_array_equal(moved.depth, depth)


def test_resizing_mixes_no_depths() -> None:
    target = random_depth(3)
    large = target.warp(resize_matrix(SIZE, (72, 96)), (72, 96))
    np.testing.assert_array_equal(large.depth, target.depth.repeat(3, axis=0).repeat(3, axis=1))
    assert_same(large.warp(resize_matrix((72, 96), SIZE), SIZE), target)
    turned = target.warp(np.array([[0.8, -0.6, 9], [0.6, 0.8, -5]]), (40, 40))
    assert set(turned.depth[turned.valid_mask].tolist()) <= set(target.depth[target.valid_mask].tolist())


def test_what_is_hidden_does_not_travel() -> None:
    target = DepthMap(depth=np.full(SIZE, 5, np.float32), valid_mask=np.zeros(SIZE, dtype=bool))
    assert not target.warp(IDENTITY, SIZE).depth.any()


def test_tiles_are_merged() -> None:
    first, second = random_depth(1), random_depth(2)
    halves = []
    for target, left in ((first, True), (second, False)):
        inside = target.valid_mask.copy()
        inside[:, 16:] &= not left
        inside[:, :16] &= left
        halves.append(DepthMap(depth=np.where(inside, target.depth, 0), valid_mask=inside))
    merged = DepthMap.merge(halves)
    np.testing.assert_array_equal(merged.depth[:, :16], first.depth[:, :16])
    np.testing.assert_array_equal(merged.depth[:, 16:], second.depth[:, 16:])
    np.testing.assert_array_equal(merged.valid_mask, merged.depth > 0)
    assert_same(DepthMap.merge([first]), first)

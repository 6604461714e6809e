import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.transforms.geometry import IDENTITY, resize_matrix

CATEGORIES = tuple(Category(id=number, name=name) for number, name in enumerate(("background", "box", "disc", "star")))


SIZE = (24, 32)


LABELS = st.sampled_from([0, 1, 2, 3, IGNORE])


MAPS = st.builds(
    lambda labels, confidence: SemanticMap(labels=labels, confidence=confidence),
    hnp.arrays(np.uint8, (6, 8), elements=LABELS),
    hnp.arrays(np.float32, (6, 8), elements=st.floats(0, 1, width=32)),
)


def scene() -> SemanticMap:
    """Background with a box and a disc, and a strip of which nothing is known."""
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[2:12, 2:14], labels[10:22, 16:28], labels[:, 30:] = 1, 2, IGNORE
    return SemanticMap.of(labels)


def assert_same(first: SemanticMap, second: SemanticMap) -> None:
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.confidence, second.confidence)


@given(MAPS)
@settings(max_examples=30, deadline=None)
def test_identity_changes_nothing(target: SemanticMap) -> None:
    assert_same(target.warp(IDENTITY, (6, 8)), target)


@given(MAPS, st.booleans())
@settings(max_examples=30, deadline=None)
def test_two_mirrorings_undo_each_other(target: SemanticMap, upright: bool) -> None:
    matrix = np.array([[1.0, 0, 0], [0, -1, 5]]) if upright else np.array([[-1.0, 0, 7], [0, 1, 0]])
    once = target.warp(matrix, (6, 8))
    np.testing.assert_array_equal(once.labels, np.flip(target.labels, axis=0 if upright else 1))
    assert_same(once.warp(matrix, (6, 8)), target)


@given(MAPS, st.integers(-9, 9), st.integers(-9, 9))
@settings(max_examples=30, deadline=None)
def test_shifts_carry_confidence_along_and_uncover_ignored_pixels(target: SemanticMap, right: int, down: int) -> None:
    moved = target.warp(np.array([[1.0, 0, right], [0, 1, down]]), (6, 8))
    for row in range(6):
        for column in range(8):
            y, x = row - down, column - right
            inside = 0 <= y < 6 and 0 <= x < 8
            assert moved.labels[row, column] == (target.labels[y, x] if inside else IGNORE)
            assert moved.confidence[row, column] == (target.confidence[y, x] if inside else 0)


def test_warp_follows_the_image() -> None:
    """Each category is moved as a picture of it is."""
    target = scene()
    matrix = cv2.getRotationMatrix2D((16, 12), 30, 1.5)
    warped = target.warp(matrix, (40, 50)).labels
    for label in (0, 1, 2):
        picture = cv2.warpAffine((target.labels == label).astype(np.float32), matrix, (50, 40))
        assert (warped[picture > 0.95] == label).all()
        assert not (warped[picture < 0.05] == label).any()


def test_resizing_up_and_down_is_exact() -> None:
    target = scene()
    large = target.warp(resize_matrix(SIZE, (72, 96)), (72, 96))
    np.testing.assert_array_equal(large.labels, target.labels.repeat(3, axis=0).repeat(3, axis=1))
    assert_same(large.warp(resize_matrix((72, 96), SIZE), SIZE), target)


@given(MAPS, MAPS)
@settings(max_examples=30, deadline=None)
def test_merging_takes_the_first_that_knows(first: SemanticMap, second: SemanticMap) -> None:
    merged = SemanticMap.merge([first, second])
    known = first.labels != IGNORE
    for part, where in ((first, known), (second, ~known)):
        np.testing.assert_array_equal(merged.labels[where], part.labels[where])
        np.testing.assert_array_equal(merged.confidence[where], part.confidence[where])
    assert_same(SemanticMap.merge([first]), first)


@given(MAPS, MAPS, st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_pasted_categories_are_whole_and_all_else_stays(below: SemanticMap, above: SemanticMap, seed: int) -> None:
    result = below.paste(above, [1, 2, 3], np.random.default_rng(seed))
    foreground = {*np.unique(above.labels).tolist()} - {0, IGNORE}
    if result is None:
        assert not foreground
        return
    region, joint = result
    pasted = {*np.unique(above.labels[region]).tolist()}
    assert pasted and pasted <= foreground
    np.testing.assert_array_equal(region, np.isin(above.labels, [*pasted]))
    np.testing.assert_array_equal(joint.labels, np.where(region, above.labels, below.labels))
    np.testing.assert_array_equal(joint.confidence, np.where(region, above.confidence, below.confidence))


def test_labels_leave_ignored_pixels_out() -> None:
    assert scene().category_labels() == (0, 1, 2) and scene().object_labels() is None

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm.annotations.persons import KEYPOINTS, MIRRORED, Persons
from datasetdm.annotations.sample import Category, Sample
from datasetdm.tasks.pose_heatmaps import draw_gaussians, find_peaks
from datasetdm.transforms.geometry import IDENTITY, resize_matrix
from datasetdm.transforms.views import randomly_placed

PERSON = Category(id=1, name="person", supercategory="person")


SIZE = (48, 64)


def people(*boxes: tuple[int, int, int, int], size: tuple[int, int] = SIZE, seed: int = 0) -> Persons:
    """Rectangular persons (left, top, width, height) with keypoints somewhere inside, all visible."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((len(boxes), *size), dtype=bool)
    keypoints = np.full((len(boxes), 17, 3), 2, dtype=np.float32)
    for mask, points, (left, top, width, height) in zip(masks, keypoints, boxes, strict=True):
        mask[top : top + height, left : left + width] = True
        points[:, :2] = rng.uniform((left, top), (left + width - 1, top + height - 1), (17, 2))
    return Persons(
        keypoints=keypoints,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        masks=masks,
        scores=np.ones(len(boxes), dtype=np.float32),
        crowd=np.zeros(len(boxes), dtype=bool),
    )


COUPLE = people((4, 6, 16, 36), (24, 4, 20, 40))


def assert_same(first: Persons, second: Persons, atol: float = 1e-4) -> None:
    np.testing.assert_array_equal(first.masks, second.masks)
    np.testing.assert_allclose(first.keypoints, second.keypoints, atol=atol)
    np.testing.assert_allclose(first.boxes, second.boxes, atol=atol)
    np.testing.assert_allclose(first.scores, second.scores)
    np.testing.assert_array_equal(first.crowd, second.crowd)


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_identity_changes_nothing(seed: int) -> None:
    target = people((4, 6, 16, 36), (24, 4, 20, 40), seed=seed)
    assert_same(target.warp(IDENTITY, SIZE), target)


@pytest.mark.parametrize(
    "matrix", [np.array([[-1.0, 0, 63], [0, 1, 0]]), np.array([[1.0, 0, 0], [0, -1, 47]])], ids=["sideways", "upright"]
)
def test_a_mirror_swaps_left_and_right_and_two_undo_each_other(matrix: np.ndarray) -> None:
    once = COUPLE.warp(matrix, SIZE)
    for left, right in enumerate(MIRRORED):
        expected = COUPLE.keypoints[:, left, :2] * np.diag(matrix[:, :2]) + matrix[:, 2]
        np.testing.assert_allclose(once.keypoints[:, right, :2], expected, atol=1e-4)
    nose = KEYPOINTS.index("nose")
    np.testing.assert_allclose(
        once.keypoints[:, nose, :2], COUPLE.keypoints[:, nose, :2] @ matrix[:, :2] + matrix[:, 2], atol=1e-4
    )
    assert_same(once.warp(matrix, SIZE), COUPLE)


def test_half_a_turn_swaps_nothing() -> None:
    turned = COUPLE.warp(np.array([[-1.0, 0, 63], [0, -1, 47]]), SIZE)
    np.testing.assert_allclose(turned.keypoints[..., 0], 63 - COUPLE.keypoints[..., 0], atol=1e-4)
    np.testing.assert_allclose(turned.keypoints[..., 1], 47 - COUPLE.keypoints[..., 1], atol=1e-4)


def test_points_follow_the_picture() -> None:
    """A dot painted at a keypoint is where the moved keypoint is, through a turn and a zoom and through views."""
    side = 64
    target = people((20, 20, 24, 24), size=(side, side), seed=3)
    matrix = cv2.getRotationMatrix2D((30, 34), 25, 1.2)
    picture = draw_gaussians(target.keypoints[0, :, :2], (side, side), 1.5)
    moved = target.warp(matrix, (side, side))
    for place, dot in zip(moved.keypoints[0], picture, strict=True):
        found, _ = find_peaks(cv2.warpAffine(dot, matrix, (side, side))[None])
        if place[2]:
            np.testing.assert_allclose(found[0], place[:2], atol=0.3)
    np.testing.assert_array_equal(moved.boxes[0], cv2.boundingRect(moved.masks[0].astype(np.uint8)))
    target.keypoints[0, 1:] = 0
    image = np.repeat((255 * picture[0]).astype(np.uint8)[..., None], 3, axis=2)
    sample = Sample(name="a.png", image=image, caption="", target=target)
    seen = 0
    for number in range(6):
        view = randomly_placed(sample, np.random.default_rng(number))
        for place in view.target.keypoints[view.target.keypoints[:, 0, 2] > 0, 0]:
            x, y = place[:2].round().astype(int).clip(1, side - 2)
            spot = view.image[y - 1 : y + 2, x - 1 : x + 2, 0].max()
            assert spot > 0.8 * view.image[..., 0].max()
            seen += 1
    assert seen >= 6


def test_what_leaves_the_image_is_unlabelled_cut_or_dropped() -> None:
    shift = np.array([[1.0, 0, -14], [0, 1, 0]])
    moved = COUPLE.warp(shift, SIZE)
    assert len(moved) == 2
    gone = COUPLE.keypoints[0, :, 0] - 14 < -0.5
    assert 0 < gone.sum() < 17
    np.testing.assert_array_equal(moved.keypoints[0, gone], 0)
    np.testing.assert_array_equal(moved.keypoints[0, ~gone, 2], 2)
    assert moved.boxes.tolist() == [[0, 6, 6, 36], [10, 4, 20, 40]]
    assert len(COUPLE.warp(np.array([[1.0, 0, -30], [0, 1, 0]]), SIZE)) == 1
    nobody = COUPLE.warp(np.array([[1.0, 0, 100], [0, 1, 0]]), SIZE)
    assert nobody.keypoints.shape == (0, 17, 3) and nobody.boxes.shape == (0, 4)


def test_resizing_up_and_down_is_exact() -> None:
    large = COUPLE.warp(resize_matrix(SIZE, (144, 192)), (144, 192))
    np.testing.assert_allclose(large.boxes, 3 * COUPLE.boxes, atol=1e-3)
    assert_same(large.warp(resize_matrix((144, 192), SIZE), SIZE), COUPLE)


def test_merge_keeps_all() -> None:
    nobody = COUPLE.select(np.zeros(2, dtype=bool))
    merged = Persons.merge([COUPLE, nobody, COUPLE.select(np.array([1]))])
    assert_same(merged.select(np.array([0, 1])), COUPLE)
    assert_same(merged.select(np.array([2])), COUPLE.select(np.array([1])))

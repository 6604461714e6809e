"""Several predictions of one image: how far they agree, and what they say together."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.matching import group_objects, mask_ious, matched_similarity
from datasetdm.annotations.persons import MIRRORED, Persons
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from tests.annotations.test_persons import people

SIZE = (13, 17)


def box(left: int, top: int, width: int, height: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[top : top + height, left : left + width] = True
    return mask


def objects(*rows: tuple[np.ndarray, int, float]) -> Instances:
    masks, labels, scores = zip(*rows, strict=True)
    return Instances.of(np.stack(masks), np.array(labels), np.array(scores))


def random_annotations(seed: int, size: tuple[int, int]) -> list:
    """One predicted annotation of every kind, of the given size."""
    rng = np.random.default_rng(seed)
    found = Instances.of(rng.random((3, *size)) < 0.4, rng.integers(0, 4, 3), rng.random(3))
    labels = rng.choice([0, 1, 2, IGNORE], size).astype(np.uint8)
    known = rng.random(size) < 0.8
    persons = people((1, 1, 6, 9), (8, 2, 5, 7), size=size, seed=seed)
    persons.keypoints[..., 2] = rng.uniform(0.31, 1, persons.keypoints.shape[:2])
    return [
        found.select(np.flatnonzero(found.masks.any(axis=(1, 2)))),
        SemanticMap(labels=labels, confidence=rng.random(size).astype(np.float32)),
        DepthMap(depth=np.where(known, rng.uniform(1, 9, size), 0).astype(np.float32), valid_mask=known),
        persons,
    ]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(13, 40), st.integers(17, 40))
def test_agreement_is_one_with_itself_symmetric_and_between_0_and_1(seed: int, height: int, width: int) -> None:
    pairs = (random_annotations(number, (height, width)) for number in (seed, seed + 1))
    for one, other in zip(*pairs, strict=True):
        assert one.agreement(one) == pytest.approx(1)
        assert one.agreement(other) == pytest.approx(other.agreement(one))
        assert 0 <= one.agreement(other) < 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(13, 40), st.integers(17, 40))
def test_a_mirrored_annotation_mirrored_again_is_the_same_to_the_pixel(seed: int, height: int, width: int) -> None:
    mirror = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])
    for one in random_annotations(seed, (height, width)):
        once = one.warp(mirror, (height, width))
        twice = once.warp(mirror, (height, width))
        for name, values in vars(one).items():
            if isinstance(values, np.ndarray):
                np.testing.assert_allclose(getattr(twice, name), values, atol=1e-4)
        planes = (
            "masks" if isinstance(one, Instances | Persons) else "labels" if isinstance(one, SemanticMap) else "depth"
        )
        np.testing.assert_array_equal(getattr(once, planes), getattr(one, planes)[..., ::-1])


def test_a_mirrored_person_has_left_and_right_exchanged() -> None:
    person = people((3, 2, 6, 9), size=SIZE)
    mirrored = person.warp(np.array([[-1.0, 0.0, SIZE[1] - 1.0], [0.0, 1.0, 0.0]]), SIZE)
    for left, right in enumerate(MIRRORED):
        assert mirrored.keypoints[0, left, 0] == pytest.approx(SIZE[1] - 1 - person.keypoints[0, right, 0])


def test_the_agreement_of_objects_counts_them_by_their_scores() -> None:
    first = objects((box(0, 0, 4, 4), 0, 0.9), (box(8, 8, 4, 4), 1, 0.1))
    assert first.agreement(first.select(np.array([0]))) == pytest.approx(1.8 / 1.9)  # the weak one has no partner
    half = objects((box(0, 0, 4, 2), 0, 0.9), (box(8, 8, 4, 4), 1, 0.1))
    assert first.agreement(half) == pytest.approx((1.8 * 0.5 + 0.2) / 2)
    other_class = replace(first, labels=np.array([2, 1]))
    assert first.agreement(other_class) == pytest.approx(0.2 / 2)
    nothing = Instances.empty(*SIZE)
    assert nothing.agreement(nothing) == 1 and nothing.agreement(first) == first.agreement(nothing) == 0


def test_an_object_has_the_pixels_and_the_label_that_most_readings_vote_for() -> None:
    readings = [
        objects((box(0, 0, 6, 4), 1, 0.8), (box(9, 9, 4, 4), 3, 0.3)),
        objects((box(0, 0, 5, 4), 1, 0.6)),
        objects((box(0, 0, 5, 4), 2, 0.4)),
    ]
    together = Instances.consensus(readings)
    assert together.labels.tolist() == [1, 3]
    np.testing.assert_array_equal(together.masks[0], box(0, 0, 5, 4))
    np.testing.assert_allclose(together.scores, [1.4 / 3, 0.1], rtol=1e-6)  # those that saw nothing count
    alone = Instances.consensus(readings[:1])
    assert alone is readings[0]
    assert len(Instances.consensus([Instances.empty(*SIZE)] * 2)) == 0


def test_two_objects_of_one_reading_are_never_joined() -> None:
    twice = objects((box(0, 0, 6, 4), 1, 0.8), (box(0, 0, 6, 3), 1, 0.7))
    assert group_objects([twice.masks, twice.masks], [twice.scores, twice.scores]) == [[(0, 0), (1, 0)]]
    assert group_objects([twice.masks[:0]], [twice.scores[:0]]) == []


def test_persons_are_joined_keypoint_by_keypoint() -> None:
    one = people((2, 2, 6, 9), size=SIZE)
    one.keypoints[..., 2] = 0.9
    moved = replace(one, keypoints=one.keypoints + np.float32([1, 0, -0.6]), scores=np.float32([0.5]))
    together = Persons.consensus([one, moved])
    np.testing.assert_allclose(together.keypoints[..., 0], one.keypoints[..., 0] + 0.3 / 1.2, atol=1e-5)
    np.testing.assert_allclose(together.keypoints[..., 2], 0.6, atol=1e-6)
    assert together.scores == pytest.approx([0.75])
    assert Persons.consensus([one, one.select(np.zeros(0, dtype=int))]).scores == pytest.approx([0.5])
    assert 0.5 < one.agreement(moved) < 1
    unsure = replace(one, scores=np.float32([0]))  # none of its keypoints is sure
    assert Persons.consensus([unsure, unsure]).masks.tolist() == one.masks.tolist()
    assert Persons.consensus([unsure, unsure]).scores == pytest.approx([0])
    far = replace(one, keypoints=one.keypoints + np.float32([30, 0, 0]))
    assert one.agreement(far) < 0.01


def test_a_pixel_has_the_label_with_the_most_confidence() -> None:
    readings = [
        SemanticMap(labels=np.array([[0, 1, IGNORE]], np.uint8), confidence=np.float32([[0.9, 0.3, 0]])),
        SemanticMap(labels=np.array([[1, 1, IGNORE]], np.uint8), confidence=np.float32([[0.5, 0.3, 0]])),
        SemanticMap(labels=np.array([[1, 2, IGNORE]], np.uint8), confidence=np.float32([[0.5, 0.9, 0]])),
    ]
    together = SemanticMap.consensus(readings)
    assert together.labels.tolist() == [[1, 2, IGNORE]]
    np.testing.assert_allclose(together.confidence, [[1 / 3, 0.3, 0]], rtol=1e-6)
    nothing = SemanticMap.of(np.full((2, 3), IGNORE))
    assert (
        nothing.agreement(nothing) == 1 and SemanticMap.consensus([nothing, nothing]).labels.tolist() == [[255] * 3] * 2
    )


def test_depths_are_joined_on_a_logarithmic_scale() -> None:
    near = DepthMap(depth=np.float32([[2, 0, 3]]), valid_mask=np.array([[True, False, True]]))
    far = DepthMap(depth=np.float32([[8, 0, 0]]), valid_mask=np.array([[True, False, False]]))
    together = DepthMap.consensus([near, far])
    np.testing.assert_allclose(together.depth, [[4, 0, 3]], rtol=1e-6)
    assert together.valid_mask.tolist() == [[True, False, True]]
    assert near.agreement(far) == pytest.approx((2 / 8) / 2)  # a pixel that one of them does not know counts as 0


def test_partners_are_chosen_together() -> None:
    similarities = np.array([[0.9, 0.8], [0.8, 0.0]])
    assert matched_similarity(similarities, np.ones(2), np.ones(2)) == pytest.approx(0.8)
    assert matched_similarity(np.zeros((0, 2)), np.zeros(0), np.ones(2)) == 0
    assert mask_ious(np.zeros((0, *SIZE), bool), np.zeros((2, *SIZE), bool)).shape == (0, 2)

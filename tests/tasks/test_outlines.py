"""Masks moved to the edges of the picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.tasks import build_task
from datasetdm.tasks.instance import InstanceTask
from datasetdm.tasks.outlines import largest_piece, snap_regions, snap_to_edges

SIDE = 64


def picture(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A red disc on green grass, both with noise, and its exact mask."""
    y, x = np.mgrid[:SIDE, :SIDE]
    disc = (y - 30) ** 2 + (x - 34) ** 2 <= 14**2
    image = np.where(disc[..., None], (200, 60, 50), (70, 150, 60)).astype(float)
    image += np.random.default_rng(seed).normal(0, 12, image.shape)
    return image.clip(0, 255).astype(np.uint8), disc


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(("down", "right"), [(3, 2), (-4, 0), (0, 4)])
def test_a_shifted_mask_finds_back_to_the_object(down, right):
    image, disc = picture()
    rough = np.roll(disc, (down, right), axis=(0, 1))
    assert iou(rough, disc) < 0.8
    assert iou(snap_to_edges(rough, image), disc) > 0.97


def test_pieces_that_lie_apart_are_dropped():
    image, disc = picture()
    rough = disc.copy()
    rough[2:6, 2:6] = True
    assert iou(snap_to_edges(rough, image), disc) > 0.97
    assert (largest_piece(rough) == disc).all()


def test_the_same_picture_gives_the_same_outline():
    image, disc = picture()
    rough = np.roll(disc, 3, axis=0)
    np.testing.assert_array_equal(snap_to_edges(rough, image), snap_to_edges(rough, image))


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["noise", "flat"]),
)
def test_any_mask_on_any_picture_stays_one_piece_of_like_size(seed, height, width, kind):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8) if kind == "noise" else np.zeros((40, 40, 3), np.uint8)
    mask = np.zeros((40, 40), dtype=bool)
    mask[:height, 40 - width :] = True
    snapped = snap_to_edges(mask, image)
    assert snapped.shape == mask.shape and snapped.dtype == bool
    assert 0.1 * mask.sum() <= snapped.sum() <= 2.5 * mask.sum()
    np.testing.assert_array_equal(largest_piece(snapped), snapped)


def found(masks: list[np.ndarray], scores: list[float]) -> Prediction:
    target = Instances.of(np.array(masks), np.zeros(len(masks), np.int64), np.array(scores, np.float32))
    return Prediction(target=target, score=float(np.mean(scores)))


def test_the_task_snaps_only_where_it_is_asked_to_and_doubts_what_the_picture_does_not_bear_out():
    image, disc = picture()
    rough = np.roll(disc, 4, axis=0)
    category = (Category(id=1, name="disc"),)
    plain = InstanceTask(category).refine(found([rough], [0.9]), image)
    assert (plain.target.masks[0] == rough).all() and plain.target.scores[0] == np.float32(0.9)

    task = InstanceTask(category, config.InstanceAnnotation(outlines="grabcut"))
    refined = task.refine(found([rough], [0.9]), image)
    assert iou(refined.target.masks[0], disc) > 0.97
    assert refined.target.scores[0] == pytest.approx(0.9 * iou(refined.target.masks[0], rough), rel=1e-5)
    exact = task.refine(found([disc], [0.9]), image)
    assert exact.target.scores[0] > 0.95 * 0.9


def test_two_rough_masks_of_one_object_become_one_object():
    image, disc = picture()
    task = InstanceTask((Category(id=1, name="disc"),), config.InstanceAnnotation(outlines="grabcut"))
    two = found([np.roll(disc, 4, axis=0), np.roll(disc, -3, axis=0)], [0.9, 0.8])
    assert len(task.refine(two, image).target) == 1


def test_a_second_round_starts_from_the_first_outline():
    image, disc = picture()
    far = np.roll(disc, 7, axis=0)
    once = snap_to_edges(far, image)
    np.testing.assert_array_equal(snap_to_edges(far, image, 2), snap_to_edges(once, image))
    assert iou(snap_to_edges(far, image, 3), disc) >= iou(once, disc) - 0.01
    settings = config.InstanceAnnotation(outlines="grabcut", outline_rounds=2)
    assert (
        "outline_rounds" in settings.model_dump() and "outline_rounds" not in config.InstanceAnnotation().model_dump()
    )
    task = InstanceTask((Category(id=1, name="disc"),), settings)
    np.testing.assert_array_equal(task.refine(found([far], [0.9]), image).target.masks[0], snap_to_edges(far, image, 2))


def rough_map(disc: np.ndarray) -> np.ndarray:
    """The disc as region 1, four rows too low, and a second one of one pixel in a corner."""
    labels = np.roll(disc, 4, axis=0).astype(np.uint8)
    labels[1, 1] = 2
    return labels


def test_regions_of_a_map_find_back_to_their_objects_and_specks_vanish():
    image, disc = picture()
    snapped = snap_regions(rough_map(disc), image, background=0, ignored=IGNORE)
    assert snapped.dtype == np.uint8 and set(np.unique(snapped)) == {0, 1}
    assert iou(snapped == 1, disc) > 0.97


def test_without_a_background_pixels_keep_their_label_until_a_region_takes_them():
    image, disc = picture()
    labels = np.where(np.roll(disc, 4, axis=0), 1, 2).astype(np.uint8)  # 2 is the grass, a region like any other
    snapped = snap_regions(labels, image, background=None, ignored=IGNORE)
    assert set(np.unique(snapped)) == {1, 2}
    assert iou(snapped == 1, disc) >= iou(labels == 1, disc)


def test_a_small_region_stays_in_front_of_a_large_one():
    image, disc = picture()
    image[26:34, 30:38] = (40, 60, 220)  # a blue thing in front of the disc
    labels = disc.astype(np.uint8)
    labels[26:34, 30:38] = 2
    snapped = snap_regions(labels, image, background=0, ignored=IGNORE)
    assert (snapped[27:33, 31:37] == 2).all() and iou(snapped > 0, disc) > 0.97


def test_unknown_pixels_stay_unknown_and_new_labels_are_no_surer_than_what_the_decoder_left():
    image, disc = picture()
    labels = rough_map(disc)
    labels[-4:] = IGNORE
    confidence = np.full(labels.shape, 0.8, np.float32)
    confidence[labels == IGNORE] = 0
    found = Prediction(target=SemanticMap(labels=labels, confidence=confidence), score=0.8)
    categories = [Category(id=number, name=name) for number, name in enumerate(("background", "disc", "speck"))]
    plain = build_task(config.SemanticAnnotation(), categories)
    assert plain.refine(found, image) is found
    refined = build_task(config.SemanticAnnotation(outlines="grabcut"), categories).refine(found, image)
    target = refined.target
    assert (target.labels[-4:] == IGNORE).all() and target.confidence.dtype == np.float32
    changed = target.labels != labels
    assert changed.any() and np.allclose(target.confidence[changed], 0.2)
    assert np.allclose(target.confidence[~changed & (labels != IGNORE)], 0.8)
    assert refined.score == pytest.approx(target.confidence[target.labels == 1].mean())


def test_records_of_maps_without_it_stay_what_they_were():
    assert "outlines" not in config.SemanticAnnotation().model_dump()
    assert config.SemanticAnnotation(outlines="grabcut").model_dump()["outlines"] == "grabcut"

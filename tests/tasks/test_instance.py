from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Prediction, Sample
from datasetdm.errors import DatasetDMError
from datasetdm.tasks import TASKS, build_task
from datasetdm.tasks.base import NOT_FOUND
from datasetdm.tasks.instance import DOUBTFUL, OTHER_NUMBER, InstanceTask
from datasetdm.transforms.geometry import resize_matrix

CATEGORIES = (Category(id=3, name="box"), Category(id=7, name="disc"), Category(id=90, name="star"))
TASK = InstanceTask(CATEGORIES)
SIZE = (24, 32)
IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


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


def assert_same(first: Instances, second: Instances) -> None:
    np.testing.assert_array_equal(first.masks, second.masks)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_allclose(first.scores, second.scores)
    np.testing.assert_array_equal(first.crowd, second.crowd)


def synthesis(**values: object) -> config.Synthesis:
    return config.Synthesis.model_validate({"num_images": 1, **values})


# --- geometry


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_identity_changes_nothing(seed: int) -> None:
    instances = random_instances(seed)
    assert_same(TASK.warp(instances, IDENTITY, SIZE), instances)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=30, deadline=None)
def test_two_mirrorings_undo_each_other(seed: int, upright: bool) -> None:
    instances = random_instances(seed)
    height, width = SIZE
    matrix = np.array([[1.0, 0, 0], [0, -1, height - 1]]) if upright else np.array([[-1.0, 0, width - 1], [0, 1, 0]])
    once = TASK.warp(instances, matrix, SIZE)
    np.testing.assert_array_equal(once.masks, np.flip(instances.masks, axis=1 if upright else 2))
    assert_same(TASK.warp(once, matrix, SIZE), instances)


@given(st.integers(0, 10_000), st.integers(-20, 20), st.integers(-20, 20))
@settings(max_examples=30, deadline=None)
def test_shifts_move_masks_and_drop_what_leaves(seed: int, right: int, down: int) -> None:
    instances = random_instances(seed)
    moved = TASK.warp(instances, np.array([[1.0, 0, right], [0, 1, down]]), SIZE)
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
    warped = TASK.warp(Instances.of(mask[None], np.array([0])), matrix, (40, 50)).masks[0]
    picture = cv2.warpAffine(mask.astype(np.float32), matrix, (50, 40), flags=cv2.INTER_LINEAR)
    assert (warped[picture > 0.95]).all()
    assert not (warped[picture < 0.05]).any()


def test_resizing_up_and_down_is_exact() -> None:
    instances = random_instances(3)
    large = TASK.warp(instances, resize_matrix(SIZE, (72, 96)), (72, 96))
    np.testing.assert_array_equal(large.masks, instances.masks.repeat(3, axis=1).repeat(3, axis=2))
    assert_same(TASK.warp(large, resize_matrix((72, 96), SIZE), SIZE), instances)


def test_merge_keeps_all() -> None:
    parts = [random_instances(1, 2), Instances.empty(*SIZE), random_instances(2, 4)]
    merged = TASK.merge(parts)
    assert len(merged) == 6
    assert_same(merged.select(np.arange(2)), parts[0])
    assert_same(merged.select(np.arange(2, 6)), parts[2])
    assert (merged.judged, merged.not_exhaustive) == (None, ())


def test_what_was_judged_survives() -> None:
    target = replace(apart(labels=(0, 0, 0)), judged=(0, 2), not_exhaustive=(0,))
    gone = TASK.warp(target, np.array([[1.0, 0, 100], [0, 1, 0]]), SIZE)
    assert len(gone) == 0
    for result in (gone, TASK.warp(target, IDENTITY, SIZE), target.select(np.array([1])), TASK.shown(target)):
        assert (result.judged, result.not_exhaustive) == ((0, 2), (0,))


def test_merged_parts_are_judged_together() -> None:
    """0 is in one part and was looked for in all; 1 is in one part and was not looked for in the other."""
    first = replace(apart(labels=(0, 1, 1)), judged=(0, 1))
    second = replace(Instances.empty(*SIZE), judged=(0, 2))
    merged = TASK.merge([first, second])
    assert (merged.judged, merged.not_exhaustive) == ((0, 1), (1,))
    everything = TASK.merge([first, Instances.empty(*SIZE)])  # all was judged in the second part
    assert (everything.judged, everything.not_exhaustive) == ((0, 1), ())
    doubtful = TASK.merge([first, replace(second, judged=(0, 1, 2), not_exhaustive=(0,))])
    assert (doubtful.judged, doubtful.not_exhaustive) == ((0, 1), (0,))


def test_an_object_nobody_looked_for_is_a_contradiction() -> None:
    with pytest.raises(ValueError, match="among the judged"):
        replace(apart(), judged=(0, 1))


# --- learning


def outputs_of(target: Instances, size: tuple[int, int], queries: int = 6) -> dict[str, torch.Tensor]:
    """What a perfect decoder would put out, in an order of its own."""
    encoded = TASK.encode(target, size)
    logits = torch.full((1, queries, len(CATEGORIES) + 1), -10.0)
    logits[..., -1] = 10
    masks = torch.full((1, queries, *size), -30.0)
    for index, (mask, label) in enumerate(zip(encoded["masks"], encoded["labels"].tolist(), strict=True)):
        logits[0, queries - 1 - index, label], logits[0, queries - 1 - index, -1] = 10, -10
        masks[0, queries - 1 - index] = 60 * mask.float() - 30
    return {"pred_logits": logits, "pred_masks": masks, "aux_outputs": []}


def apart(labels: tuple[int, ...] = (0, 2, 1)) -> Instances:
    masks = np.zeros((3, *SIZE), dtype=bool)
    masks[0, 2:10, 2:10], masks[1, 12:22, 4:14], masks[2, 4:20, 18:30] = True, True, True
    return Instances.of(masks, np.array(labels))


def test_encoding_and_decoding_come_back() -> None:
    target = apart()
    (prediction,) = TASK.decode(outputs_of(target, SIZE), SIZE)
    found = prediction.target
    assert sorted(found.labels.tolist()) == [0, 1, 2]
    for mask, label in zip(target.masks, target.labels, strict=True):
        np.testing.assert_array_equal(found.masks[found.labels == label][0], mask)
    assert prediction.score > 0.99
    evaluator = TASK.evaluator()
    evaluator.add(target, found)
    assert evaluator.compute()["mask_ap"] == pytest.approx(1)


def test_masks_at_half_resolution_stay_close() -> None:
    target = apart()
    (prediction,) = TASK.decode(outputs_of(target, (12, 16)), SIZE)
    for mask, label in zip(target.masks, target.labels, strict=True):
        found = prediction.target.masks[prediction.target.labels == label][0]
        assert (found & mask).sum() / (found | mask).sum() > 0.85


def test_crowds_and_vanished_objects_are_not_learnt() -> None:
    target = random_instances(0, 4)
    target = Instances(
        masks=target.masks, labels=target.labels, scores=target.scores, crowd=np.array([True, False, False, True])
    )
    encoded = TASK.encode(target, (12, 16))
    assert encoded["masks"].shape == (2, 12, 16)
    share = target.masks[target.crowd].any(axis=0).reshape(12, 2, 16, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(encoded["ignored"], share >= 0.5)
    assert "ignored" not in TASK.encode(target.select(~target.crowd), (12, 16))
    assert encoded["labels"].tolist() == target.labels[1:3].tolist()
    np.testing.assert_allclose(encoded["masks"].sum(dim=(1, 2)) * 4, target.masks[1:3].sum(axis=(1, 2)))
    assert TASK.encode(Instances.empty(*SIZE), (12, 16))["masks"].shape == (0, 12, 16)


def test_perfect_outputs_have_hardly_any_loss() -> None:
    target = apart()
    losses = TASK.loss(outputs_of(target, SIZE), [TASK.encode(target, SIZE)])
    assert set(losses) == {"loss_ce", "loss_mask", "loss_dice"}
    assert float(sum(losses.values())) < 0.05


def test_score_is_class_probability_times_mean_mask_probability() -> None:
    outputs = outputs_of(apart(), SIZE, queries=3)
    outputs["pred_logits"] = torch.zeros(1, 3, 4)  # every class 1/4
    outputs["pred_masks"] = outputs["pred_masks"].sign() * np.log(3)  # inside 3/4
    (prediction,) = TASK.decode(outputs, SIZE)
    np.testing.assert_allclose(prediction.target.scores, 0.25 * 0.75, atol=0.02)


def test_classes_absent_from_the_prompt_are_ruled_out() -> None:
    outputs = outputs_of(apart(), SIZE)
    free, bound, none = (TASK.decode(outputs, SIZE, allowed)[0].target for allowed in (None, [[0, 1]], [[]]))
    assert set(free.labels) == {0, 1, 2}
    assert set(bound.labels) <= {0, 1}
    assert len(none) == 0


def test_duplicates_are_suppressed() -> None:
    target = apart()
    doubled = TASK.merge([target, target.select(np.array([1]))])
    (prediction,) = TASK.decode(outputs_of(doubled, SIZE), SIZE)
    assert len(prediction.target) == 3


def test_no_object_at_all() -> None:
    (prediction,) = TASK.decode(outputs_of(Instances.empty(*SIZE), SIZE), SIZE)
    assert len(prediction.target) == 0
    assert prediction.target.masks.shape == (0, *SIZE)
    assert prediction.score == 0


def test_pasted_objects_hide_what_lies_below() -> None:
    masks = np.zeros((3, *SIZE), dtype=bool)
    masks[0, 2:12, 2:12], masks[1, 14:20, 14:20], masks[2, 2:12, 3:12] = True, True, True
    below, above = Instances.of(masks[:2], [0, 1]), Instances.of(masks[2:], [2])
    region, joint = TASK.pasted(below, above, np.random.default_rng(0))
    np.testing.assert_array_equal(region, masks[2])
    assert joint.labels.tolist() == [1, 2]  # a tenth of the first is left to see
    np.testing.assert_array_equal(joint.masks, masks[1:])


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_of_pasted_objects_at_least_one_is_whole(seed: int) -> None:
    source = random_instances(seed)
    result = TASK.pasted(random_instances(seed + 1), source, np.random.default_rng(seed))
    whole = [mask for mask, crowd in zip(source.masks, source.crowd, strict=True) if not crowd]
    if result is None:
        assert not whole
        return
    region, joint = result
    assert any((mask <= region).all() for mask in whole)
    assert not (region & ~np.any(whole, axis=0)).any()
    assert joint.masks.any(axis=(1, 2)).all()


# --- judging


def predicted(scores: tuple[float, ...]) -> Prediction:
    target = apart()
    order = np.argsort(scores)[::-1]
    found = Instances.of(target.masks[order], target.labels[order], np.array(scores)[order])
    return Prediction(target=found, score=float(np.mean(scores)))


def test_filters_and_their_reasons() -> None:
    accepted = TASK.accept(predicted((0.9, 0.3, 0.6)), synthesis(score_threshold=0.5))
    assert accepted.rejected is None
    assert accepted.target.scores.tolist() == pytest.approx([0.9, 0.6])
    assert accepted.scores["num_objects"] == 2
    assert accepted.scores["score"] == pytest.approx(0.75)
    unsure = TASK.accept(predicted((0.2, 0.3, 0.1)), synthesis(score_threshold=0.5))
    assert unsure.rejected == "no object above the score threshold"
    assert unsure.scores["best_score"] == pytest.approx(0.3)
    small = TASK.accept(predicted((0.9, 0.9, 0.9)), synthesis(min_area=0.5))
    assert small.rejected == "no object above the minimum area"
    assert len(small.target) == 0
    nothing = TASK.accept(Prediction(target=Instances.empty(*SIZE), score=0), synthesis())
    assert nothing.rejected is not None
    assert len(TASK.accept(predicted((0.9, 0.8, 0.7)), synthesis(max_instances=2)).target) == 2


def test_what_the_prompt_names_has_to_be_found() -> None:
    sure, choosy = predicted((0.9, 0.8, 0.3)), synthesis(score_threshold=0.5, require_prompted=True)
    found, missed = sorted({*sure.target.labels[:2].tolist()}), int(sure.target.labels[2])
    assert TASK.accept(sure, choosy, dict.fromkeys(found)).rejected is None
    assert TASK.accept(sure, choosy, {missed: None}).rejected == NOT_FOUND
    assert TASK.accept(sure, synthesis(score_threshold=0.5), {missed: None}).rejected is None


def test_as_many_objects_as_the_prompt_asks_for_have_to_be_found() -> None:
    sure, choosy = predicted((0.9, 0.8, 0.3)), synthesis(score_threshold=0.5, require_prompted=True)
    first, second = sure.target.labels[:2].tolist()
    assert TASK.accept(sure, choosy, {first: 1, second: 1}).rejected is None
    assert TASK.accept(sure, choosy, {first: 2, second: None}).rejected == OTHER_NUMBER
    assert TASK.accept(sure, synthesis(score_threshold=0.5), {first: 2}).rejected is None


def test_an_image_with_an_object_of_doubtful_score_is_rejected() -> None:
    seen = predicted((0.9, 0.8, 0.3))
    assert TASK.accept(seen, synthesis(score_threshold=0.5, doubt_threshold=0.2)).rejected == DOUBTFUL
    assert TASK.accept(seen, synthesis(score_threshold=0.5, doubt_threshold=0.35)).rejected is None
    assert TASK.accept(seen, synthesis(score_threshold=0.3, doubt_threshold=0.2)).rejected is None
    # Scores of another model have another scale.
    assert TASK.trusted(seen.target, 0.5, synthesis(score_threshold=0.5, doubt_threshold=0.2)).rejected is None


def test_only_objects_that_a_teacher_is_certain_of_are_labels() -> None:
    found = predicted((0.9, 0.4)).target
    assert len(TASK.trusted(found, 0.5, synthesis(score_threshold=0.0)).target) == 1
    assert len(TASK.trusted(found, 0.3, synthesis(score_threshold=1.0)).target) == 2
    assert TASK.trusted(found, 0.95, synthesis(score_threshold=0.0)).rejected is not None


def test_accepted_objects_share_no_pixel_and_the_likelier_has_it() -> None:
    masks = np.zeros((2, *SIZE), dtype=bool)
    masks[0, 2:12, 2:12], masks[1, 8:20, 8:20] = True, True
    prediction = Prediction(target=Instances.of(masks, np.array([0, 1]), np.array([0.9, 0.8])), score=0.85)
    accepted = TASK.accept(prediction, synthesis()).target
    assert not accepted.masks.all(axis=0).any()
    np.testing.assert_array_equal(accepted.masks[0], masks[0])
    np.testing.assert_array_equal(accepted.masks[1], masks[1] & ~masks[0])


def test_a_second_view_of_an_accepted_object_is_dropped() -> None:
    masks = np.zeros((3, *SIZE), dtype=bool)
    masks[0, 2:12, 2:12], masks[1, 2:12, 2:16], masks[2, 14:20, 2:8] = True, True, True
    prediction = Prediction(target=Instances.of(masks, [0, 0, 0], np.array([0.9, 0.8, 0.7])), score=0.8)
    np.testing.assert_array_equal(TASK.accept(prediction, synthesis()).target.masks, masks[[0, 2]])
    assert TASK.accept(Prediction(target=Instances.empty(*SIZE), score=0.0), synthesis()).target.masks.dtype == bool


def test_drawing_shows_every_object_and_leaves_the_image_alone() -> None:
    image = np.full((*SIZE, 3), 90, dtype=np.uint8)
    target = apart()
    picture = TASK.draw(image, target)
    assert (image == 90).all()
    factor = picture.shape[0] // SIZE[0]
    assert picture.shape == (SIZE[0] * factor, SIZE[1] * factor, 3)
    centres = [np.argwhere(mask).mean(axis=0).astype(int) for mask in target.masks]
    colours = {tuple(picture[row * factor, column * factor].tolist()) for row, column in centres}
    assert len(colours) == 3
    assert tuple(picture[-1, 0].tolist()) == (90, 90, 90)
    assert TASK.draw(image, Instances.empty(*SIZE)).shape == picture.shape


# --- files


def test_files_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = [
        Sample(
            name=f"{number}.png",
            image=rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8),
            caption=f"picture {number}",
            target=random_instances(number) if number else Instances.empty(*SIZE),
            image_id=number + 1,
        )
        for number in range(3)
    ]
    TASK.save(tmp_path, "train", samples)
    loaded = TASK.load(tmp_path, "train")
    for before, after in zip(samples, loaded, strict=True):
        np.testing.assert_array_equal(before.image, after.image)
        assert (before.name, before.caption, before.image_id) == (after.name, after.caption, after.image_id)
        assert_same(before.target, after.target)
    objects = sum(int((~sample.target.crowd).sum()) for sample in samples)
    assert TASK.check(tmp_path, "train") == {"images": 3, "objects": objects}


def test_what_was_judged_comes_back(tmp_path: Path) -> None:
    task = InstanceTask([replace(category, frequency="c") for category in CATEGORIES], config.InstanceAnnotation())
    target = replace(apart(labels=(0, 0, 2)), judged=(0, 1, 2), not_exhaustive=(2,))
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    task.save(tmp_path, "dev", [Sample(name="a.png", image=image, caption="", target=target)])
    (read,) = task.load(tmp_path, "dev")
    assert (read.target.judged, read.target.not_exhaustive) == (target.judged, target.not_exhaustive)
    assert "mask_ap_common" in task.evaluator().compute()


def test_words_are_readable() -> None:
    names = ("bell_pepper", "bow_(weapon)", "traffic light", "bow-tie")
    task = InstanceTask([Category(id=number, name=name) for number, name in enumerate(names)])
    assert task.words == ("bell pepper", "bow (weapon)", "traffic light", "bow-tie")


def test_damage_is_found(tmp_path: Path) -> None:
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    TASK.save(tmp_path, "train", [Sample(name="a.png", image=image, caption="", target=apart())])
    with pytest.raises(DatasetDMError, match="categories"):
        InstanceTask(CATEGORIES[:2]).load(tmp_path, "train")
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(DatasetDMError, match=r"a\.png"):
        TASK.check(tmp_path, "train")


def test_tasks_are_built_by_name() -> None:
    assert isinstance(build_task(config.InstanceAnnotation(), CATEGORIES), InstanceTask)
    assert all(task.name == name for name, task in TASKS.items())
    assert build_task(config.InstanceAnnotation(), CATEGORIES).words == ("box", "disc", "star")

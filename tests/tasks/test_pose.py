import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm import config
from datasetdm.annotations.persons import FLIP_PAIRS, KEYPOINTS, Persons
from datasetdm.annotations.sample import Category, Prediction, Sample
from datasetdm.decoder.p_decoder import PDecoder
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import NOT_FOUND
from datasetdm.tasks.pose import KEYPOINT_SCORE, KEYPOINT_WEIGHT, MIN_KEYPOINTS, SIGMA, PoseTask
from datasetdm.tasks.pose_heatmaps import draw_gaussians, find_peaks
from datasetdm.transforms.geometry import resize_matrix
from datasetdm.transforms.views import random_view

PERSON = Category(id=1, name="person", supercategory="person")
TASK = PoseTask([PERSON])
SIZE = (48, 64)
IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


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


def synthesis(**values: object) -> config.Synthesis:
    return config.Synthesis.model_validate({"num_images": 1, **values})


# --- geometry


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_identity_changes_nothing(seed: int) -> None:
    target = people((4, 6, 16, 36), (24, 4, 20, 40), seed=seed)
    assert_same(TASK.warp(target, IDENTITY, SIZE), target)


@pytest.mark.parametrize(
    "matrix", [np.array([[-1.0, 0, 63], [0, 1, 0]]), np.array([[1.0, 0, 0], [0, -1, 47]])], ids=["sideways", "upright"]
)
def test_a_mirror_swaps_left_and_right_and_two_undo_each_other(matrix: np.ndarray) -> None:
    once = TASK.warp(COUPLE, matrix, SIZE)
    for left, right in FLIP_PAIRS:
        expected = COUPLE.keypoints[:, left, :2] * np.diag(matrix[:, :2]) + matrix[:, 2]
        np.testing.assert_allclose(once.keypoints[:, right, :2], expected, atol=1e-4)
    nose = KEYPOINTS.index("nose")
    np.testing.assert_allclose(
        once.keypoints[:, nose, :2], COUPLE.keypoints[:, nose, :2] @ matrix[:, :2] + matrix[:, 2], atol=1e-4
    )
    assert_same(TASK.warp(once, matrix, SIZE), COUPLE)


def test_half_a_turn_swaps_nothing() -> None:
    turned = TASK.warp(COUPLE, np.array([[-1.0, 0, 63], [0, -1, 47]]), SIZE)
    np.testing.assert_allclose(turned.keypoints[..., 0], 63 - COUPLE.keypoints[..., 0], atol=1e-4)
    np.testing.assert_allclose(turned.keypoints[..., 1], 47 - COUPLE.keypoints[..., 1], atol=1e-4)


def test_points_follow_the_picture() -> None:
    """A dot painted at a keypoint is where the moved keypoint is, through a turn and a zoom and through views."""
    side = 64
    target = people((20, 20, 24, 24), size=(side, side), seed=3)
    matrix = cv2.getRotationMatrix2D((30, 34), 25, 1.2)
    picture = draw_gaussians(target.keypoints[0, :, :2], (side, side), 1.5)
    moved = TASK.warp(target, matrix, (side, side))
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
        view = random_view(TASK, sample, np.random.default_rng(number))
        for place in view.target.keypoints[view.target.keypoints[:, 0, 2] > 0, 0]:
            x, y = place[:2].round().astype(int).clip(1, side - 2)
            spot = view.image[y - 1 : y + 2, x - 1 : x + 2, 0].max()
            assert spot > 0.8 * view.image[..., 0].max()
            seen += 1
    assert seen >= 6


def test_what_leaves_the_image_is_unlabelled_cut_or_dropped() -> None:
    shift = np.array([[1.0, 0, -14], [0, 1, 0]])
    moved = TASK.warp(COUPLE, shift, SIZE)
    assert len(moved) == 2
    gone = COUPLE.keypoints[0, :, 0] - 14 < -0.5
    assert 0 < gone.sum() < 17
    np.testing.assert_array_equal(moved.keypoints[0, gone], 0)
    np.testing.assert_array_equal(moved.keypoints[0, ~gone, 2], 2)
    assert moved.boxes.tolist() == [[0, 6, 6, 36], [10, 4, 20, 40]]
    assert len(TASK.warp(COUPLE, np.array([[1.0, 0, -30], [0, 1, 0]]), SIZE)) == 1
    nobody = TASK.warp(COUPLE, np.array([[1.0, 0, 100], [0, 1, 0]]), SIZE)
    assert nobody.keypoints.shape == (0, 17, 3) and nobody.boxes.shape == (0, 4)


def test_resizing_up_and_down_is_exact() -> None:
    large = TASK.warp(COUPLE, resize_matrix(SIZE, (144, 192)), (144, 192))
    np.testing.assert_allclose(large.boxes, 3 * COUPLE.boxes, atol=1e-3)
    assert_same(TASK.warp(large, resize_matrix((144, 192), SIZE), SIZE), COUPLE)


def test_merge_keeps_all() -> None:
    nobody = COUPLE.select(np.zeros(2, dtype=bool))
    merged = TASK.merge([COUPLE, nobody, COUPLE.select(np.array([1]))])
    assert_same(merged.select(np.array([0, 1])), COUPLE)
    assert_same(merged.select(np.array([2])), COUPLE.select(np.array([1])))


# --- learning


def outputs_of(target: Persons, cells: tuple[int, int], queries: int = 6) -> dict[str, torch.Tensor]:
    """What a perfect decoder would put out, in an order of its own."""
    encoded = TASK.encode(target, cells)
    logits = torch.full((1, queries, 2), -10.0)
    logits[..., -1] = 10
    masks = torch.full((1, queries, *cells), -30.0)
    for index, mask in enumerate(encoded["masks"]):
        logits[0, queries - 1 - index] = torch.tensor([10.0, -10.0])
        masks[0, queries - 1 - index] = 60 * mask.float() - 30
    return {"pred_logits": logits, "pred_masks": masks, "dense": encoded["heatmaps"].float()[None], "aux_outputs": []}


@pytest.mark.parametrize("cells", [SIZE, (24, 32)])
def test_encoding_and_decoding_come_back(cells: tuple[int, int]) -> None:
    (prediction,) = TASK.decode(outputs_of(COUPLE, cells), SIZE)
    found = prediction.target
    found = found.select(np.argsort(found.boxes[:, 0]))
    np.testing.assert_array_equal(found.masks, COUPLE.masks)
    np.testing.assert_array_equal(found.boxes, COUPLE.boxes)
    # Two persons' Gaussians of one kind of keypoint may touch, which moves their tops a little.
    np.testing.assert_allclose(found.keypoints[..., :2], COUPLE.keypoints[..., :2], atol=0.6)
    assert found.keypoints[..., 2].min() > 0.7
    assert 0.7 < prediction.score <= 1
    evaluator = TASK.evaluator()
    evaluator.add(COUPLE, prediction.target)
    assert evaluator.compute()["keypoint_ap"] > 0.9


def test_keypoints_go_to_the_person_they_belong_to() -> None:
    """Close neighbours: each left wrist lies at the edge of its own person, next to the other one."""
    pair = people((10, 6, 16, 36), (26, 6, 16, 36))
    pair.keypoints[:, 9, :2] = [[24, 20], [28, 20]]
    found = TASK.decode(outputs_of(pair, SIZE), SIZE)[0].target
    found = found.select(np.argsort(found.boxes[:, 0]))
    np.testing.assert_allclose(found.keypoints[:, 9, 0], [24, 28], atol=0.8)


def test_a_keypoint_beside_the_mask_is_within_reach_one_far_away_is_not() -> None:
    single = people((20, 10, 16, 28))
    single.keypoints[0, :2, :2] = [[37, 20], [60, 20]]
    found = TASK.decode(outputs_of(single, SIZE), SIZE)[0].target
    np.testing.assert_allclose(found.keypoints[0, 0, :2], [37, 20], atol=0.2)
    assert found.keypoints[0, 1, 2] < 0.05


def test_persons_rank_by_mask_and_keypoints() -> None:
    outputs = outputs_of(COUPLE, SIZE)
    outputs["dense"][..., :24] *= 0.5
    found = TASK.decode(outputs, SIZE)[0].target
    assert found.boxes[0, 0] == 24 and found.scores[0] > 0.8
    assert found.scores[1] == pytest.approx(0.5, abs=0.1)
    assert TASK.decode(outputs, SIZE, allowed=[[]])[0].score == 0
    assert len(TASK.decode(outputs, SIZE, allowed=[[]])[0].target) == 0
    assert len(TASK.decode(outputs, SIZE, allowed=[[0]])[0].target) == 2


def test_nothing_is_claimed_where_keypoints_are_not_labelled() -> None:
    target = replace(COUPLE, keypoints=COUPLE.keypoints.copy())
    target.keypoints[0, 3] = 0
    target.keypoints[1] = 0
    encoded = TASK.encode(target, SIZE)
    known = encoded["known"].numpy()
    first, second = COUPLE.masks
    assert not known[3][first].any() and known[4][first].all()
    assert not known[0][second & ~cv2.dilate(first.astype(np.uint8), np.ones((9, 9))).astype(bool)].any()
    assert known[:, :, 55:].all()  # beyond both
    assert encoded["heatmaps"][3].max() == 0
    x, y = np.rint(COUPLE.keypoints[0, 4, :2]).astype(int)
    assert encoded["heatmaps"][4, y, x] > 0.8 and known[4, y, x]


def test_crowds_are_neither_learnt_nor_punished() -> None:
    target = replace(COUPLE, crowd=np.array([False, True]))
    encoded = TASK.encode(target, SIZE)
    assert encoded["masks"].shape[0] == len(encoded["labels"]) == 1
    known = encoded["known"].numpy()
    own = encoded["heatmaps"].numpy() > 0.1
    assert not (known & COUPLE.masks[1] & ~own).any()
    assert known[:, COUPLE.masks[0] & (np.arange(64) < 18)].all()


def test_no_person_is_a_target_too() -> None:
    nobody = COUPLE.select(np.zeros(2, dtype=bool))
    encoded = TASK.encode(nobody, (24, 32))
    assert encoded["masks"].shape == (0, 24, 32) and encoded["known"].all() and not encoded["heatmaps"].any()
    losses = TASK.loss(outputs_of(nobody, (24, 32)), [encoded])
    assert all(torch.isfinite(value) for value in losses.values())


def test_loss_terms_and_their_gradients() -> None:
    target = replace(COUPLE, keypoints=COUPLE.keypoints.copy())
    target.keypoints[0, 3] = 0
    encoded = TASK.encode(target, SIZE)
    outputs = outputs_of(COUPLE, SIZE)
    perfect = TASK.loss(outputs_of(target, SIZE), [encoded])
    assert set(perfect) == {"loss_ce", "loss_mask", "loss_dice", "loss_keypoint"}
    assert perfect["loss_keypoint"] == pytest.approx(0, abs=1e-4)
    outputs["dense"] = torch.full_like(outputs["dense"], 0.01, requires_grad=True)
    losses = TASK.loss(outputs, [encoded])
    assert 0.3 * KEYPOINT_WEIGHT < losses["loss_keypoint"] < KEYPOINT_WEIGHT
    losses["loss_keypoint"].backward()
    gradient = outputs["dense"].grad[0].numpy()
    np.testing.assert_array_equal(gradient[~encoded["known"].numpy()], 0)
    assert (gradient[encoded["known"].numpy()] != 0).mean() > 0.99


def test_the_decoder_learns_keypoints_and_persons() -> None:
    torch.manual_seed(0)
    cells = (16, 16)
    target = people((2, 2, 10, 28), (18, 4, 12, 24), size=(32, 32), seed=1)
    info = [FeatureLevel(stride=4, channels=24, attention_layers=0), FeatureLevel(8, 24, 0)]
    decoder = PDecoder(
        info,
        num_words=1,
        settings=config.Decoder(hidden_dim=32, num_queries=4, num_layers=2, num_heads=4, feedforward_dim=32),
        num_classes=1,
        uses_queries=TASK.uses_queries,
        dense_channels=TASK.dense_channels,
    )
    features = DiffusionFeatures(maps={4: torch.randn(1, 24, 8, 8), 8: torch.randn(1, 24, 4, 4)}, attention={})
    decoder.calibrate(features)
    encoded = TASK.encode(target, cells)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=3e-3)
    curve = []
    for _ in range(120):
        losses = TASK.loss(decoder(features), [encoded])
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        curve.append({name: value.item() for name, value in losses.items()})
    for name in ("loss_keypoint", "loss_mask"):
        assert curve[-1][name] < 0.5 * curve[0][name]
    assert all(parameter.grad is not None for parameter in decoder.dense_head.parameters())


# --- judging


def predicted(scores: tuple[float, float] = (0.9, 0.8), height: float = 0.6) -> Prediction:
    keypoints = COUPLE.keypoints.copy()
    keypoints[..., 2] = height
    target = replace(COUPLE, keypoints=keypoints, scores=np.array(scores, dtype=np.float32))
    return Prediction(target=target, score=float(np.mean(scores)))


def test_accepted_persons_are_annotations() -> None:
    prediction = predicted()
    prediction.target.keypoints[0, 5, 2] = KEYPOINT_SCORE - 0.01
    accepted = TASK.accept(prediction, synthesis())
    assert accepted.rejected is None
    flags = accepted.target.keypoints[..., 2]
    assert set(flags.ravel().tolist()) == {0, 2} and (flags == 0).sum() == 1
    np.testing.assert_array_equal(accepted.target.keypoints[0, 5], 0)
    np.testing.assert_array_equal(accepted.target.keypoints[1, :, :2], COUPLE.keypoints[1, :, :2])
    assert accepted.scores["num_keypoints"] == 33 and accepted.scores["num_objects"] == 2
    assert prediction.target.keypoints[0, 5, 2] > 0  # the prediction is left as it was


def test_filters_and_their_reasons() -> None:
    assert len(TASK.accept(predicted((0.9, 0.3)), synthesis(score_threshold=0.5)).target) == 1
    assert TASK.accept(predicted((0.2, 0.1)), synthesis(score_threshold=0.5)).rejected is not None
    assert TASK.accept(predicted(), synthesis(min_area=0.6)).rejected == "no object above the minimum area"
    assert len(TASK.accept(predicted(), synthesis(max_instances=1)).target) == 1
    faint = TASK.accept(predicted(height=KEYPOINT_SCORE / 2), synthesis())
    assert faint.rejected == "no person with enough keypoints"
    few = predicted()
    few.target.keypoints[0, MIN_KEYPOINTS - 1 :, 2] = 0
    accepted = TASK.accept(few, synthesis())
    assert accepted.rejected is None and len(accepted.target) == 2
    assert (accepted.target.keypoints[..., 2] > 0).sum(axis=1).tolist() == [0, 17]
    nothing = Prediction(target=COUPLE.select(np.zeros(2, dtype=bool)), score=0)
    assert TASK.accept(nothing, synthesis()).rejected is not None


def test_only_keypoints_that_a_teacher_is_certain_of_are_labels() -> None:
    found = replace(COUPLE, keypoints=COUPLE.keypoints.copy(), masks=np.zeros_like(COUPLE.masks))  # no mask is drawn
    found.keypoints[..., 2] = 0.6
    found.keypoints[0, 0, 2] = 0.4
    found.keypoints[0, 1, 0] = -3  # outside the image
    found.keypoints[1, MIN_KEYPOINTS - 1 :, 2] = 0.1
    trusted = TASK.trusted(found, 0.5, synthesis())
    assert trusted.rejected is None and len(trusted.target) == 1
    assert trusted.target.keypoints[0, :3, 2].tolist() == [0, 0, 2]
    np.testing.assert_array_equal(trusted.target.masks, COUPLE.masks[:1])  # the persons are rectangles
    assert TASK.trusted(found, 0.7, synthesis()).rejected == "no person with enough keypoints"


def test_another_number_of_persons_than_asked_for_is_rejected() -> None:
    strict = synthesis(require_prompted=True)
    reasons = [TASK.accept(predicted(), strict, {0: count}).rejected for count in (None, 1, 2, 3)]
    assert reasons == [None, NOT_FOUND, None, NOT_FOUND]
    assert TASK.accept(predicted(), synthesis(), {0: 1}).rejected is None


def test_accepted_masks_share_no_pixel_and_boxes_follow() -> None:
    overlapping = people((4, 6, 16, 36), (18, 6, 30, 36))
    overlapping.keypoints[..., 2] = 0.9
    target = replace(overlapping, scores=np.array([0.9, 0.8], dtype=np.float32))
    accepted = TASK.accept(Prediction(target=target, score=0.8), synthesis()).target
    assert not accepted.masks.all(axis=0).any()
    assert accepted.boxes.tolist() == [[4, 6, 16, 36], [20, 6, 28, 36]]


def test_the_hint_is_the_boxes_of_persons_to_be_judged() -> None:
    target = TASK.merge([COUPLE, replace(COUPLE, crowd=np.array([True, True]))])
    target.keypoints[1] = 0
    hint = TASK.hint(target)
    assert hint.dtype == np.float32 and hint.tolist() == [[4, 6, 16, 36]]
    assert TASK.hint(COUPLE.select(np.zeros(2, dtype=bool))).shape == (0, 4)


def test_drawing_shows_skeletons_and_leaves_the_image_alone() -> None:
    image = np.full((*SIZE, 3), 90, dtype=np.uint8)
    picture = TASK.draw(image, COUPLE)
    assert (image == 90).all() and picture.shape[0] % SIZE[0] == 0
    factor = picture.shape[0] // SIZE[0]
    bare = replace(COUPLE, keypoints=np.zeros_like(COUPLE.keypoints))
    changed = (picture != TASK.draw(image, bare)).any(axis=2)
    for x, y, _ in COUPLE.keypoints.reshape(-1, 3):
        assert changed[int((y + 0.5) * factor), int((x + 0.5) * factor)]
    assert TASK.draw(image, COUPLE.select(np.zeros(2, dtype=bool))).shape == picture.shape


# --- files


def test_files_come_back(tmp_path: Path) -> None:
    samples = [
        Sample(
            name=f"{number}.png",
            image=np.random.default_rng(number).integers(0, 255, (*SIZE, 3), dtype=np.uint8),
            caption=f"picture {number}",
            target=people(*[(4, 6, 16, 36), (24, 4, 20, 40)][:number], seed=number),
            image_id=number + 1,
        )
        for number in range(3)
    ]
    TASK.save(tmp_path, "train", samples)
    for before, after in zip(samples, TASK.load(tmp_path, "train"), strict=True):
        np.testing.assert_array_equal(before.image, after.image)
        assert (before.name, before.caption, before.image_id) == (after.name, after.caption, after.image_id)
        assert_same(before.target, after.target, atol=0)
    assert TASK.check(tmp_path, "train") == {"images": 3, "persons": 3, "keypoints": 51}


def test_damage_is_found(tmp_path: Path) -> None:
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    TASK.save(tmp_path, "train", [Sample(name="a.png", image=image, caption="", target=COUPLE)])
    with pytest.raises(DatasetDMError, match="other categories"):
        PoseTask([Category(id=7, name="dog")]).load(tmp_path, "train")
    file = tmp_path / "annotations" / "train.json"
    content = json.loads(file.read_text())
    content["annotations"][0]["keypoints"][0] = 70
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetDMError, match="nose outside the image"):
        TASK.check(tmp_path, "train")
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(DatasetDMError, match=r"a\.png"):
        TASK.check(tmp_path, "train")


def test_the_task_has_one_category() -> None:
    assert TASK.words == ("person",) and TASK.settings == config.PoseAnnotation()
    assert TASK.dense_channels == 17 and TASK.primary_metric == "keypoint_ap" and SIGMA > 0
    with pytest.raises(DatasetDMError, match="one category"):
        PoseTask([PERSON, Category(id=2, name="dog")])

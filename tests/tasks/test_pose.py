from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from datasetdm import config
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.sample import Category
from datasetdm.decoder.p_decoder import PDecoder
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.prompts.mentions import Word
from datasetdm.tasks.pose import KEYPOINT_WEIGHT, SIGMA, PoseTask
from tests.annotations.test_persons import COUPLE, PERSON, SIZE, people

TASK = PoseTask([PERSON])


def outputs_of(target: Persons, cells: tuple[int, int], queries: int = 6) -> dict[str, torch.Tensor]:
    """The outputs of a perfect decoder, in another order."""
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
    evaluator = build_evaluator(TASK.settings, TASK.categories)
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


def test_prompt_boxes_are_those_of_persons_with_keypoints() -> None:
    target = Persons.merge([COUPLE, replace(COUPLE, crowd=np.array([True, True]))])
    target.keypoints[1] = 0
    boxes = TASK.prompt_boxes(target)
    assert boxes.dtype == np.float32 and boxes.tolist() == [[4, 6, 16, 36]]
    assert TASK.prompt_boxes(COUPLE.select(np.zeros(2, dtype=bool))).shape == (0, 4)


def test_the_task_has_one_category() -> None:
    assert TASK.words == (Word("person"),) and TASK.settings == config.PoseAnnotation()
    assert TASK.dense_channels == 17 and TASK.primary_metric == "keypoint_ap" and SIGMA > 0
    with pytest.raises(DatasetDMError, match="one category"):
        PoseTask([PERSON, Category(id=2, name="dog")])

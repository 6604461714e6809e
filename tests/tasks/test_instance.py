import numpy as np
import pytest
import torch

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.prompts.mentions import Word
from datasetdm.tasks import build_task
from datasetdm.tasks.instance import InstanceTask
from tests.annotations.test_instances import CATEGORIES, SIZE, apart, random_instances

TASK = InstanceTask(CATEGORIES)


def outputs_of(target: Instances, size: tuple[int, int], queries: int = 6) -> dict[str, torch.Tensor]:
    """The outputs of a perfect decoder, in another order."""
    encoded = TASK.encode(target, size)
    logits = torch.full((1, queries, len(CATEGORIES) + 1), -10.0)
    logits[..., -1] = 10
    masks = torch.full((1, queries, *size), -30.0)
    for index, (mask, label) in enumerate(zip(encoded["masks"], encoded["labels"].tolist(), strict=True)):
        logits[0, queries - 1 - index, label], logits[0, queries - 1 - index, -1] = 10, -10
        masks[0, queries - 1 - index] = 60 * mask.float() - 30
    return {"pred_logits": logits, "pred_masks": masks, "aux_outputs": []}


def test_encoding_and_decoding_come_back() -> None:
    target = apart()
    (prediction,) = TASK.decode(outputs_of(target, SIZE), SIZE)
    found = prediction.target
    assert sorted(found.labels.tolist()) == [0, 1, 2]
    for mask, label in zip(target.masks, target.labels, strict=True):
        np.testing.assert_array_equal(found.masks[found.labels == label][0], mask)
    assert prediction.score > 0.99
    evaluator = build_evaluator(TASK.settings, TASK.categories)
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
    doubled = Instances.merge([target, target.select(np.array([1]))])
    (prediction,) = TASK.decode(outputs_of(doubled, SIZE), SIZE)
    assert len(prediction.target) == 3


def test_no_object_at_all() -> None:
    (prediction,) = TASK.decode(outputs_of(Instances.empty(*SIZE), SIZE), SIZE)
    assert len(prediction.target) == 0
    assert prediction.target.masks.shape == (0, *SIZE)
    assert prediction.score == 0


def test_words_are_readable() -> None:
    names = ("bell_pepper", "bow_(weapon)", "traffic light", "bow-tie")
    task = InstanceTask([Category(id=number, name=name) for number, name in enumerate(names)])
    assert [word.noun for word in task.words] == ["bell pepper", "bow (weapon)", "traffic light", "bow-tie"]


def test_tasks_are_built_by_name() -> None:
    assert isinstance(build_task(config.InstanceAnnotation(), CATEGORIES), InstanceTask)
    sections = (config.InstanceAnnotation(), config.SemanticAnnotation(), config.DepthAnnotation())
    assert all(build_task(section, CATEGORIES).name == section.name for section in sections)
    assert build_task(config.PoseAnnotation(), CATEGORIES[:1]).name == "pose"
    assert build_task(config.InstanceAnnotation(), CATEGORIES).words == (Word("box"), Word("disc"), Word("star"))

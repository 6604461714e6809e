import numpy as np
import pytest
import torch

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.decoder.p_decoder import PDecoder
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.prompts.mentions import Word
from datasetdm.tasks import build_task
from datasetdm.tasks.base import Task
from datasetdm.tasks.losses.set_loss import SetLoss
from datasetdm.tasks.semantic import SemanticTask
from tests.annotations.test_semantic_map import CATEGORIES, SIZE, assert_same, scene

TASK = SemanticTask(CATEGORIES)


def task_with(**values: object) -> Task:
    return build_task(config.SemanticAnnotation.model_validate(values), CATEGORIES)


def test_the_background_is_no_subject_but_words_stay_in_label_order() -> None:
    assert [category.name for category in TASK.subjects] == ["box", "disc", "star"]
    assert TASK.words == tuple(map(Word, ("background", "box", "disc", "star")))
    assert TASK.prompt_words == {1: Word("box"), 2: Word("disc"), 3: Word("star")}
    assert TASK.settings == config.SemanticAnnotation()


def test_unknown_names_in_the_settings_are_refused() -> None:
    assert (task_with(unseen=("star", "box")).unseen, task_with(tail=("disc",)).tail) == ([3, 1], [2])
    for setting in ("unseen", "tail"):
        with pytest.raises(DatasetDMError, match=rf"params\.yaml: task\.{setting} names sofa, .*box, disc"):
            task_with(**{setting: ("box", "sofa")})
    with pytest.raises(DatasetDMError, match="256 categories"):
        SemanticTask([Category(id=number, name=str(number)) for number in range(256)])


def test_unseen_categories_are_hidden_and_the_rest_is_shown() -> None:
    target = scene()
    shown = task_with(unseen=("disc",)).shown(target)
    np.testing.assert_array_equal(shown.labels == IGNORE, (target.labels == 2) | (target.labels == IGNORE))
    assert (shown.labels[target.labels == 1] == 1).all()
    assert_same(TASK.shown(target), target)


def outputs_of(target: SemanticMap, size: tuple[int, int], queries: int = 6) -> dict[str, torch.Tensor]:
    """The outputs of a perfect decoder, in another order."""
    encoded = TASK.encode(target, size)
    logits = torch.full((1, queries, len(CATEGORIES) + 1), -10.0)
    logits[..., -1] = 10
    masks = torch.full((1, queries, *size), -30.0)
    for index, (mask, label) in enumerate(zip(encoded["masks"], encoded["labels"].tolist(), strict=True)):
        logits[0, queries - 1 - index, label], logits[0, queries - 1 - index, -1] = 10, -10
        masks[0, queries - 1 - index] = 60 * mask.float() - 30
    return {"pred_logits": logits, "pred_masks": masks, "aux_outputs": []}


@pytest.mark.parametrize("size", [SIZE, (12, 16), (48, 64)])
def test_what_is_known_of_a_cell_is_shared_among_its_categories(size: tuple[int, int]) -> None:
    encoded = TASK.encode(scene(), size)
    assert encoded["labels"].tolist() == [0, 1, 2]
    assert encoded["masks"].shape == (3, *size)
    total = encoded["masks"].float().sum(dim=0)
    torch.testing.assert_close(total[encoded["valid"]], torch.ones_like(total[encoded["valid"]]), atol=2e-3, rtol=0)
    assert (total[~encoded["valid"]] == 0).all()
    assert float(encoded["valid"].float().mean()) == pytest.approx(30 / 32)


def test_a_map_of_which_nothing_is_known_teaches_nothing() -> None:
    encoded = TASK.encode(SemanticMap.of(np.full(SIZE, IGNORE)), (12, 16))
    assert encoded["masks"].shape == (0, 12, 16)
    assert len(encoded["labels"]) == 0
    assert not encoded["valid"].any()
    losses = TASK.loss(outputs_of(scene(), (12, 16)), [encoded])
    assert float(losses["loss_mask"]) == float(losses["loss_dice"]) == 0


def test_perfect_outputs_have_hardly_any_loss() -> None:
    target = scene()
    losses = TASK.loss(outputs_of(target, SIZE), [TASK.encode(target, SIZE)])
    assert set(losses) == {"loss_ce", "loss_mask", "loss_dice"}
    assert float(sum(losses.values())) < 0.05


def test_ignored_pixels_are_not_learnt() -> None:
    """Neither the loss nor its gradient depends on what is predicted there."""
    target = TASK.encode(scene(), SIZE)
    ignored = ~target["valid"]
    seen = []
    for noise in (0.0, 50.0):
        outputs = outputs_of(scene(), SIZE)
        masks = outputs["pred_masks"] / 20 + noise * torch.randn(SIZE) * ignored
        outputs["pred_masks"] = masks.requires_grad_()
        torch.manual_seed(0)
        losses = TASK.loss(outputs, [target])
        sum(losses.values()).backward()
        assert (masks.grad[..., ignored] == 0).all()
        assert masks.grad[..., ~ignored].abs().sum() > 0
        seen.append(losses)
    for term in seen[0]:
        torch.testing.assert_close(seen[0][term], seen[1][term])


def test_a_target_that_is_valid_all_over_costs_what_one_without_the_mark_does() -> None:
    target = TASK.encode(SemanticMap.of(scene().labels % IGNORE), SIZE)
    assert target["valid"].all()
    single = outputs_of(scene(), SIZE)
    masks = single["pred_masks"] / 20 + torch.randn(2, 6, *SIZE)
    outputs = {"pred_logits": single["pred_logits"].expand(2, -1, -1), "pred_masks": masks, "aux_outputs": []}
    unmarked = {key: target[key] for key in ("masks", "labels")}
    terms = []
    for marked in ([target, target], [unmarked, unmarked], [unmarked, target]):
        torch.manual_seed(0)
        terms.append(SetLoss()(outputs, marked))
    for term in terms[0]:
        torch.testing.assert_close(terms[0][term], terms[1][term])
        torch.testing.assert_close(terms[0][term], terms[2][term])


def test_encoding_and_decoding_come_back() -> None:
    target = scene()
    (prediction,) = TASK.decode(outputs_of(target, SIZE), SIZE)
    known = target.labels != IGNORE
    np.testing.assert_array_equal(prediction.target.labels[known], target.labels[known])
    assert prediction.target.confidence[known].min() > 0.99
    assert prediction.score > 0.99
    evaluator = build_evaluator(TASK.settings, TASK.categories)
    evaluator.add(target, prediction.target)
    assert evaluator.compute()["miou"] == 1


def test_masks_at_half_resolution_stay_close() -> None:
    target = scene()
    (prediction,) = TASK.decode(outputs_of(target, (12, 16)), SIZE)
    evaluator = build_evaluator(TASK.settings, TASK.categories)
    evaluator.add(target, prediction.target)
    assert evaluator.compute()["miou"] > 0.85


def test_probabilities_are_summed_over_queries() -> None:
    """Two unsure queries of one class outweigh a surer one of another; confidence is the share of the sum."""
    logits = torch.log(
        torch.tensor([[[0.02, 0.3, 0.08, 0.1, 0.5], [0.02, 0.3, 0.08, 0.1, 0.5], [0.1, 0.1, 0.5, 0.2, 0.1]]])
    )
    outputs = {"pred_logits": logits, "pred_masks": torch.zeros(1, 3, 2, 2), "aux_outputs": []}
    (prediction,) = TASK.decode(outputs, (4, 4))
    assert (prediction.target.labels == 1).all()  # 0.70 of 1.9 for the box, 0.66 for the disc
    assert prediction.score == pytest.approx(0.70 / 1.9, rel=1e-4)


def test_classes_absent_from_the_prompt_are_ruled_out_but_never_the_background() -> None:
    outputs = outputs_of(scene(), SIZE)
    outputs["pred_logits"] = outputs["pred_logits"] / 2
    free, bound, none = (TASK.decode(outputs, SIZE, allowed)[0].target for allowed in (None, [[1]], [[]]))
    assert {0, 1, 2} == set(free.labels[:, :30].ravel())
    assert {0, 1} == set(bound.labels.ravel())
    assert {0} == set(none.labels.ravel())
    assert TASK.decode(outputs, SIZE, [[]])[0].score == 0


def test_nothing_possible_is_ignored() -> None:
    """Without a background, a prompt that names nothing leaves no category; and no number comes of no number."""
    task = SemanticTask(CATEGORIES[1:])
    outputs = {"pred_logits": torch.zeros(1, 3, 4), "pred_masks": torch.zeros(1, 3, 6, 8), "aux_outputs": []}
    broken = {**outputs, "pred_masks": torch.full((1, 3, 6, 8), torch.nan)}
    for (prediction,) in (task.decode(outputs, (6, 8), [[]]), task.decode(broken, (6, 8))):
        assert (prediction.target.labels == IGNORE).all()
        assert (prediction.target.confidence == 0).all()
        assert prediction.score == 0


def test_the_decoder_learns_a_scene_end_to_end() -> None:
    torch.manual_seed(0)
    info = (FeatureLevel(16, 8, 1), FeatureLevel(8, 8, 0), FeatureLevel(4, 8, 0))
    side, target = 64, SemanticMap.of(scene().labels.repeat(3, axis=0)[:64].repeat(2, axis=1))
    features = DiffusionFeatures(
        maps={level.stride: torch.randn(2, 8, side // level.stride, side // level.stride) for level in info},
        attention={16: torch.rand(2, len(TASK.words), 1, 4, 4)},
    )
    small = config.Decoder(hidden_dim=32, num_queries=6, num_layers=2, num_heads=4, feedforward_dim=64)
    decoder = PDecoder(info, len(TASK.words), small, num_classes=4, uses_queries=True, dense_channels=0)
    decoder.calibrate(features)
    targets = [TASK.encode(target, (32, 32))] * 2
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        sum(TASK.loss(decoder(features), targets).values()).backward()
        optimizer.step()
    evaluator = build_evaluator(TASK.settings, TASK.categories)
    for prediction in TASK.decode(decoder.eval()(features), (side, side)):
        evaluator.add(target, prediction.target)
    assert evaluator.compute()["miou"] > 0.8

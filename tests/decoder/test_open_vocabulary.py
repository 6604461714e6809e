"""The decoder asked for one class at a time, by name, on scenes whose attention maps mark what is asked for."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.decoder.open_vocabulary import ASKED_PER_IMAGE, NAMED_PER_IMAGE, OpenVocabularyDecoder
from datasetdm.decoder.p_decoder import PDecoder
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.tasks import build_task
from datasetdm.tasks.base import Task
from datasetdm.tasks.losses.questions import pair_questions
from datasetdm.tasks.vocabulary import Vocabulary

INFO = (FeatureLevel(16, 12, 2), FeatureLevel(8, 12, 1), FeatureLevel(4, 8, 0))
NAMES = ("background", "ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen")
UNSEEN = (7, 8)
SIDE, TEXT_DIM = 64, 16
SETTINGS = config.Decoder(hidden_dim=32, num_queries=6, num_layers=2, num_heads=4, feedforward_dim=64)


def make_task(names: Sequence[str] = NAMES, unseen: Sequence[int] = UNSEEN) -> Task:
    categories = [Category(id=number, name=name) for number, name in enumerate(names)]
    settings = config.SemanticAnnotation(unseen=tuple(names[label] for label in unseen))
    return build_task(settings, categories)


TASK = make_task()


def vectors(seed: int, count: int = 8) -> torch.Tensor:
    """Names that have nothing to do with one another."""
    return torch.randn(count, TEXT_DIM, generator=torch.Generator().manual_seed(seed))


def build(settings: config.Decoder = SETTINGS, seed: int = 0) -> OpenVocabularyDecoder:
    torch.manual_seed(seed)
    assert TASK.vocabulary is not None
    return OpenVocabularyDecoder(INFO, settings, TASK.vocabulary, vectors(seed))


def make_scene(rng: np.random.Generator, present: Sequence[int]) -> tuple[DiffusionFeatures, SemanticMap]:
    """Rectangles of the given classes; each class has a texture of its own and a rough attention map."""
    words = len(NAMES)
    labels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    for cell, label in zip(rng.permutation(4), present, strict=False):
        y, x = 4 + 32 * (cell // 2) + rng.integers(6), 4 + 32 * (cell % 2) + rng.integers(6)
        height, width = rng.integers(14, 24, size=2)
        labels[y : y + height, x : x + width] = label
    planes = F.one_hot(torch.from_numpy(labels).long(), words).permute(2, 0, 1).float()
    maps, attention = {}, {}
    for level in INFO:
        shares = F.avg_pool2d(planes, level.stride)
        textures = 2 * torch.randn(words, level.channels, generator=torch.Generator().manual_seed(level.stride))
        noise = torch.from_numpy(rng.standard_normal((level.channels, *shares.shape[1:]))).float()
        maps[level.stride] = torch.einsum("nhw,nc->chw", shares, textures)[None] + 0.5 * noise
        if level.attention_layers:
            seen = torch.zeros_like(shares)
            for label in present:
                rough = torch.from_numpy(rng.random(shares.shape[1:])).float()
                seen[label] = 0.3 + 3 * shares[label] + 0.5 * rough
            attention[level.stride] = seen[None, :, None].repeat(1, 1, level.attention_layers, 1, 1)
    mentioned = torch.zeros(1, words, dtype=torch.bool)
    mentioned[0, list(present)] = True
    return DiffusionFeatures(maps, attention, mentioned), SemanticMap.of(labels)


def make_scenes(
    seed: int, count: int, labels: Sequence[int] = range(1, len(NAMES))
) -> tuple[DiffusionFeatures, list[SemanticMap]]:
    """Scenes of one to three different classes."""
    rng = np.random.default_rng(seed)
    most = min(3, len(labels))
    scenes = [make_scene(rng, rng.choice(labels, rng.integers(1, most + 1), replace=False)) for _ in range(count)]
    return DiffusionFeatures.cat([features for features, _ in scenes]), [target for _, target in scenes]


def train(decoder: OpenVocabularyDecoder, steps: int) -> list[float]:
    """Steps on 32 scenes, whose unseen classes are never shown; the losses."""
    features, targets = make_scenes(0, 32)
    encoded = [TASK.encode(target, (32, 32)) for target in targets]
    decoder.calibrate(features)
    optimizer = torch.optim.AdamW(decoder.train().parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        index = torch.randperm(len(targets))[:6]
        outputs = decoder(features.select(index))
        loss = torch.stack(list(TASK.loss(outputs, [encoded[k] for k in index]).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.fixture(scope="module")
def trained() -> tuple[OpenVocabularyDecoder, list[float]]:
    decoder = build()
    losses = train(decoder, 90)
    return decoder.eval(), losses


def unprompted(features: DiffusionFeatures) -> DiffusionFeatures:
    """As many images whose prompts mention nothing."""
    return replace(features.apply(torch.zeros_like), mentioned=torch.zeros_like(features.mentioned))


def judge(decoder: PDecoder, task: Task, features: DiffusionFeatures, targets: list[SemanticMap]):
    evaluator = build_evaluator(task.settings, task.categories)
    with torch.no_grad():
        predictions = task.decode(decoder(features), (SIDE, SIDE))
    for target, prediction in zip(targets, predictions, strict=True):
        evaluator.add(target, prediction.target)
    return evaluator.compute()


# --- what a name does to the queries


def test_names_that_weigh_nothing_leave_the_library_s_own_answer() -> None:
    """The joined queries go the way that Mask2Former's own take, to the last bit."""
    decoder = build().eval()
    queries = decoder.query_decoder
    for join in (queries.join_features, queries.join_positions):
        torch.nn.init.zeros_(join.bias)
        join.weight.data = torch.eye(*join.weight.shape)
    features, _ = make_scenes(1, 2, labels=[1])
    attention = {stride: values[:, 1:2] for stride, values in features.attention.items()}
    levels, mask_features = decoder.pixel_decoder(DiffusionFeatures(features.maps, attention))
    plain, named = (queries(levels, mask_features, text) for text in (None, vectors(3, 2)))
    assert len(plain["aux_outputs"]) == len(named["aux_outputs"]) == SETTINGS.num_layers
    for first, second in zip([plain, *plain["aux_outputs"]], [named, *named["aux_outputs"]], strict=True):
        assert torch.equal(first["pred_logits"], second["pred_logits"])
        assert torch.equal(first["pred_masks"], second["pred_masks"])


def test_a_closed_vocabulary_has_no_part_in_it() -> None:
    """Neither its parameters nor the random numbers that they start from are others."""
    closed = [
        name
        for name, _ in PDecoder(
            INFO, 1, SETTINGS, num_classes=1, uses_queries=True, dense_channels=0
        ).named_parameters()
    ]
    opened = [name for name, _ in build().named_parameters()]
    assert {name.split(".")[1] for name in set(opened) - set(closed)} == {"join_features", "join_positions"}
    torch.manual_seed(0)
    plain = PDecoder(INFO, 1, SETTINGS, num_classes=1, uses_queries=True, dense_channels=0).state_dict()
    named = build().state_dict()
    heeded = {f"pixel_decoder.fusions.{level}.join.weight" for level in (0, 1)}
    assert {name for name, value in plain.items() if not torch.equal(named[name], value)} == heeded


def test_attention_starts_with_the_weight_of_all_other_inputs() -> None:
    joins = [fusion.join.weight for fusion in build().pixel_decoder.fusions]
    for join, heard in zip(joins, (True, True, False), strict=True):
        share = (join[:, -1].square().sum() / join.square().sum()).item()
        assert (0.35 < share < 0.65) is heard


def test_both_the_name_and_its_attention_change_the_answer_and_other_words_do_not() -> None:
    decoder = build().eval()
    features, _ = make_scenes(1, 1, labels=[1])
    before = decoder(features)
    row = int((before["labels"] == 2).nonzero())
    renamed = decoder.with_words(TASK.vocabulary, vectors(9))(features)
    looked, elsewhere = (
        decoder(DiffusionFeatures(features.maps, {k: _brighter(v, label) for k, v in features.attention.items()}))
        for label in (2, 3)
    )
    for other, same in ((renamed, False), (looked, False), (elsewhere, True)):
        assert torch.equal(other["pred_masks"][row], before["pred_masks"][row]) is same


def _brighter(attention: torch.Tensor, label: int) -> torch.Tensor:
    changed = attention.clone()
    changed[:, label] += torch.linspace(0, 3, changed.shape[-1])
    return changed


def test_every_parameter_learns() -> None:
    decoder = build().train()
    features, targets = make_scenes(1, 4, labels=range(1, 7))
    losses = TASK.loss(decoder(features), [TASK.encode(target, (32, 32)) for target in targets])
    torch.stack(list(losses.values())).sum().backward()
    assert [name for name, parameter in decoder.named_parameters() if parameter.grad is None] == []


# --- what is asked


def test_training_asks_for_named_and_other_seen_classes_and_never_for_unseen_ones() -> None:
    decoder = build().train()
    rng = np.random.default_rng(0)
    scenes = [make_scene(rng, present) for present in ([1, 7], [8], [1, 2, 3, 4, 5, 6], [5, 6])]
    features = DiffusionFeatures.cat([scene for scene, _ in scenes])
    others = set()
    for _ in range(12):
        outputs = decoder(features)
        questions = list(zip(outputs["images"].tolist(), outputs["labels"].tolist(), strict=True))
        assert len(set(questions)) == len(questions)
        assert np.bincount(outputs["images"]).tolist() == [ASKED_PER_IMAGE] * 2 + [NAMED_PER_IMAGE, ASKED_PER_IMAGE]
        assert {label for _, label in questions} <= set(range(1, 7))
        assert {(0, 1), (3, 5), (3, 6)} <= set(questions)
        others |= {label for image, label in questions if image == 1}
        assert outputs["pred_masks"].shape == (len(questions), 6, 32, 32)
    assert others == set(range(1, 7))  # no seen class has attention there: chance decides
    assert NAMED_PER_IMAGE < ASKED_PER_IMAGE


def test_evaluation_asks_for_everything_or_for_what_the_prompt_names() -> None:
    features, _ = make_scenes(1, 3)
    features = DiffusionFeatures.cat([features, unprompted(features)])
    everything = build().eval()(features)
    assert everything["labels"].tolist() == list(range(1, 9)) * 6
    assert everything["batch_size"] == 6 and "aux_outputs" not in everything
    only = build(SETTINGS.model_copy(update={"category_from_prompt": True})).eval()(features)
    named = features.mentioned
    np.testing.assert_array_equal(torch.stack([only["images"], only["labels"]], dim=1), named.nonzero())
    assert set(only["images"].tolist()) == {0, 1, 2}
    rows = named[:, 1:].flatten()
    torch.testing.assert_close(only["pred_masks"], everything["pred_masks"][rows], atol=1e-4, rtol=1e-4)
    allowed = [row.nonzero().flatten().tolist() for row in named]
    for some, all_of_them in zip(
        TASK.decode(only, (SIDE, SIDE), allowed), TASK.decode(everything, (SIDE, SIDE), allowed), strict=True
    ):
        np.testing.assert_array_equal(some.target.labels, all_of_them.target.labels)
        np.testing.assert_allclose(some.target.confidence, all_of_them.target.confidence, atol=1e-4)


def test_prompts_that_name_nothing_leave_the_background() -> None:
    decoder = build(SETTINGS.model_copy(update={"category_from_prompt": True})).eval()
    features, _ = make_scenes(1, 2)
    outputs = decoder(unprompted(features))
    assert outputs["pred_masks"].shape == (0, 6, 32, 32) and outputs["batch_size"] == 2
    for prediction in TASK.decode(outputs, (SIDE, SIDE), [[], []]):
        assert (prediction.target.labels == 0).all() and (prediction.target.confidence == 1).all()
        assert prediction.score == 0


def test_a_backbone_without_cross_attention_is_read_by_name_alone() -> None:
    info = tuple(FeatureLevel(level.stride, level.channels, 0) for level in INFO)
    decoder = OpenVocabularyDecoder(info, SETTINGS, TASK.vocabulary, vectors(0))
    features = DiffusionFeatures(make_scenes(1, 2)[0].maps, {})
    assert len(decoder.train()(features)["labels"]) == 2 * ASKED_PER_IMAGE
    assert len(decoder.eval()(features)["labels"]) == 2 * 8


def test_nothing_seen_cannot_be_trained() -> None:
    task = make_task(unseen=range(1, 9))
    decoder = OpenVocabularyDecoder(INFO, SETTINGS, task.vocabulary, vectors(0))
    with pytest.raises(DatasetDMError, match=r"task\.unseen.*every class"):
        decoder.train()(make_scenes(1, 1)[0])


def test_each_name_needs_an_embedding() -> None:
    with pytest.raises(DatasetDMError, match="8 class names"):
        OpenVocabularyDecoder(INFO, SETTINGS, TASK.vocabulary, vectors(0, 7))


# --- what is learnt


def test_training_lowers_the_loss_and_finds_the_seen_classes(trained) -> None:
    decoder, losses = trained
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])
    assert judge(decoder, TASK, *make_scenes(5, 24))["miou_seen"] > 0.6


def test_classes_that_were_never_shown_are_found_by_name(trained) -> None:
    """Their texture and their name are new; what carries over is what attention means."""
    decoder, _ = trained
    features, targets = make_scenes(5, 24)
    metrics = judge(decoder, TASK, features, targets)
    assert metrics["iou/gnu"] > 0.55 and metrics["iou/hen"] > 0.55
    blind = DiffusionFeatures(features.maps, {k: torch.zeros_like(v) for k, v in features.attention.items()})
    assert judge(decoder, TASK, blind, targets)["miou_unseen"] < 0.3


def test_a_trained_decoder_can_be_asked_for_any_name(trained) -> None:
    """What were a gnu and a hen, and never shown, are now an owl and a yak."""
    decoder, _ = trained
    task = make_task(("background", "owl", "yak"), unseen=(1, 2))
    asked = decoder.with_words(task.vocabulary, vectors(77, 2))
    features, targets = make_scenes(8, 16, labels=UNSEEN)
    attention = {stride: values[:, [0, *UNSEEN]] for stride, values in features.attention.items()}
    features = DiffusionFeatures(features.maps, attention)
    targets = [SemanticMap.of(np.maximum(target.labels, 6) - 6) for target in targets]
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    metrics = judge(asked, task, features, targets)
    assert metrics["iou/owl"] > 0.55 and metrics["iou/yak"] > 0.55
    assert all(torch.equal(value, before[name]) for name, value in decoder.state_dict().items())
    assert decoder(make_scenes(5, 1)[0])["labels"].tolist() == list(range(1, 9))


# --- what is compared


def outputs_for(questions: Sequence[tuple[int, int]], batch_size: int) -> dict[str, object]:
    images, labels = torch.tensor(questions).T
    layer = {
        "pred_logits": torch.randn(len(questions), 6, 2, requires_grad=True),
        "pred_masks": torch.randn(len(questions), 6, 32, 32, requires_grad=True),
    }
    return {**layer, "aux_outputs": [], "images": images, "labels": labels, "batch_size": batch_size}


def ignored_map(corner: int) -> SemanticMap:
    """An ant, a void of so many pixels in the other corner, and a line of void as between objects."""
    labels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    labels[4:24, 4:24], labels[SIDE - corner :, SIDE - corner :], labels[30] = 1, IGNORE, IGNORE
    return SemanticMap.of(labels)


def test_answers_are_the_class_or_nothing_or_not_known() -> None:
    known, void = (TASK.encode(ignored_map(corner), (32, 32)) for corner in (0, 20))
    assert not known["doubtful"].any()
    outputs = outputs_for([(0, 1), (0, 2), (1, 1), (1, 2)], 2)
    answers, truths = pair_questions(outputs, [known, void])
    assert answers["pred_masks"].shape[0] == len(truths) == 3  # whether a bee is in the void, nobody knows
    assert torch.equal(answers["pred_masks"], outputs["pred_masks"][:3])
    assert [len(truth["labels"]) for truth in truths] == [1, 0, 1]
    assert all((truth["labels"] == 0).all() for truth in truths)
    torch.testing.assert_close(truths[0]["masks"][0], known["masks"][known["labels"] == 1][0])
    assert torch.equal(truths[2]["valid"], void["valid"])


def test_a_class_that_is_hardly_known_is_neither_there_nor_absent() -> None:
    labels = np.full((SIDE, SIDE), 0, dtype=np.uint8)
    labels[:8, :8], labels[3, 3] = IGNORE, 2  # a single pixel of a bee amid void
    encoded = TASK.encode(SemanticMap.of(labels), (8, 8))
    assert encoded["labels"].tolist() == [0]
    assert encoded["doubtful"][2]
    _, truths = pair_questions(outputs_for([(0, 2)], 1), [encoded])
    assert truths == []


def test_questions_without_an_answer_cost_nothing_and_can_be_stepped_on() -> None:
    outputs = outputs_for([(0, 2), (0, 3)], 1)
    losses = TASK.loss(outputs, [TASK.encode(ignored_map(20), (32, 32))])
    assert set(losses) == {"loss_ce", "loss_mask", "loss_dice"}
    total = torch.stack(list(losses.values())).sum()
    assert total == 0
    total.backward()
    assert (outputs["pred_logits"].grad == 0).all()


def test_unseen_labels_never_enter_the_loss() -> None:
    """The annotation of an unseen object changes neither loss nor gradient, nor do predictions at its place."""
    features, _ = make_scenes(1, 1, labels=[1])
    seen = ignored_map(20)
    told = SemanticMap.of(np.where(seen.labels == IGNORE, 7, seen.labels))  # the void of both is a gnu
    grads = []
    for target in (seen, told, TASK.shown(told)):
        decoder = build().train()
        torch.manual_seed(5)
        losses = TASK.loss(decoder(features), [TASK.encode(target, (32, 32))])
        torch.stack(list(losses.values())).sum().backward()
        grads.append([parameter.grad for parameter in decoder.parameters() if parameter.grad is not None])
    for other in grads[1:]:
        assert all(torch.equal(first, second) for first, second in zip(grads[0], other, strict=True))
    outputs = outputs_for([(0, 1), (0, 2)], 1)
    encoded = TASK.encode(told, (32, 32))
    torch.stack(list(TASK.loss(outputs, [encoded]).values())).sum().backward()
    assert (outputs["pred_masks"].grad[..., ~encoded["valid"]] == 0).all()
    assert outputs["pred_masks"].grad[0].abs().sum() > 0
    assert (outputs["pred_logits"].grad[1] == 0).all()  # a bee may be hidden there: no negative


def test_vocabulary_of_the_task() -> None:
    assert TASK.vocabulary == Vocabulary(words=NAMES[1:], labels=tuple(range(1, 9)), seen=tuple(range(1, 7)))
    assert make_task(unseen=()).vocabulary is None
    assert "doubtful" not in make_task(unseen=()).encode(ignored_map(20), (32, 32))

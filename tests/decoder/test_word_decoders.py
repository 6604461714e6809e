"""The rivals that find a mask for each word: cross-attention, self-attention, and the grounding module."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Sample
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.decoder.affinity import random_walk
from datasetdm.decoder.checkpoint import build_decoder, decoder_fingerprint, load_decoder
from datasetdm.decoder.cross_attention import CrossAttentionDecoder
from datasetdm.decoder.grounding import GroundingModule
from datasetdm.decoder.inference import predict_images
from datasetdm.decoder.self_attention import SelfAttentionDecoder
from datasetdm.decoder.thresholds import LEVELS, best_thresholds, iou_curve
from datasetdm.decoder.trainer import train_decoder
from datasetdm.decoder_methods import METHODS
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.errors import DatasetDMError
from datasetdm.tasks import build_task
from datasetdm.tasks.instance import InstanceTask
from tests.decoder.test_open_vocabulary import INFO, SIDE, TASK, UNSEEN, judge, make_scenes, make_task, vectors

CLOSED = make_task(unseen=())
NAMED = config.Decoder(
    hidden_dim=32, num_layers=2, num_heads=4, feedforward_dim=64, category_from_prompt=True, method="cross_attention"
)
RIVALS = [name for name, method in METHODS.items() if method.masks_of_words]


def features_of(attention: torch.Tensor, maps: torch.Tensor, **more) -> DiffusionFeatures:
    """One image: attention (W x h x w) at stride 8 and maps (C x h x w) at stride 4."""
    mentioned = attention.flatten(1).any(dim=1)[None]
    return DiffusionFeatures({4: maps[None]}, {8: attention[None, :, None]}, mentioned, **more)


def planted(label: int = 2, words: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of an object's middle, and maps of two colours, the object in rows 4 to 12, columns 6 to 14."""
    attention, maps = torch.zeros(words, 8, 8), torch.zeros(2, 16, 16)
    attention[label] = 0.2
    attention[label, 3:5, 4:6] = 5.0
    maps[0], maps[1] = 1.0, 0.0
    maps[0, 4:12, 6:14], maps[1, 4:12, 6:14] = 0.0, 1.0
    return attention, maps


def iou(found: np.ndarray, true: np.ndarray) -> float:
    return float((found & true).sum() / (found | true).sum())


def true_object() -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[16:48, 24:56] = True
    return mask


# --- the random walk and the thresholds


def test_a_walk_spreads_within_an_edge_and_not_beyond_it() -> None:
    seeds, maps = torch.zeros(1, 1, 16, 16), torch.zeros(1, 2, 16, 16)
    maps[0, 0, :, :8], maps[0, 1, :, 8:] = 1.0, 1.0
    seeds[0, 0, 8, 2] = 1.0
    walked = random_walk(seeds, maps, steps=32, radius=3, temperature=0.1)[0, 0]
    left, right = walked[:, :8], walked[:, 8:]
    assert (left > 0).all() and right.max() < 1e-6
    assert left.max() < 5 * left.mean()  # it is spread, and not only leaked
    assert torch.equal(random_walk(seeds, maps, steps=0, radius=3, temperature=0.1), seeds)


def test_weights_of_a_step_sum_to_one() -> None:
    flat = torch.full((2, 3, 6, 5), 0.7)
    maps = torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(random_walk(flat, maps, steps=5, radius=2, temperature=0.2), flat)


def test_the_chosen_threshold_has_the_best_iou() -> None:
    found = torch.linspace(0, 1, 100).view(10, 10)
    everywhere = torch.ones(10, 10, dtype=torch.bool)
    curve = iou_curve(found, found > 0.62, everywhere)
    assert LEVELS[curve.argmax()].item() == pytest.approx(0.6, abs=0.051) and curve.max() > 0.9
    half = everywhere.clone()
    half[:7] = False  # where the true mask begins, nothing counts
    assert iou_curve(found, found > 0.62, half)[LEVELS <= 0.65].eq(1.0).all()


def test_each_class_has_its_threshold_and_leans_on_all_where_it_has_few_images() -> None:
    low, high = (torch.exp(-((LEVELS - place) ** 2) / 0.02) for place in (0.3, 0.7))
    curves = [(0, low)] * 20 + [(1, high)] * 20
    thresholds, reached = best_thresholds(curves, 3)
    assert thresholds[0].item() == pytest.approx(0.3) and thresholds[1].item() == pytest.approx(0.7)
    assert 0.9 < reached <= 1.0
    alone, _ = best_thresholds([(0, low)] * 20 + [(1, high)], 3)
    assert alone[2].item() == pytest.approx(0.3)  # no image of it
    assert best_thresholds([], 2)[0].tolist() == [0.5, 0.5]


# --- attention that is planted gives the mask that is planted


def test_cross_attention_spreads_to_the_edges_of_the_object() -> None:
    attention, maps = planted()
    decoder = CrossAttentionDecoder(CLOSED, INFO, NAMED)
    (found,) = CLOSED.decode(decoder(features_of(attention, maps)), (SIDE, SIDE))
    assert set(np.unique(found.target.labels)) == {0, 2}
    assert iou(found.target.labels == 2, true_object()) > 0.75
    decoder.steps.fill_(0)
    (rough,) = CLOSED.decode(decoder(features_of(attention, maps)), (SIDE, SIDE))
    assert iou(rough.target.labels == 2, true_object()) < 0.5  # the middle alone


def test_self_attention_carries_a_word_to_the_places_that_belong_together() -> None:
    attention, maps = planted()
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:6, 3:7] = True
    same = (inside.flatten()[:, None] == inside.flatten()[None]).float()
    together = {8: (same / same.sum(dim=1, keepdim=True))[None]}
    settings = NAMED.model_copy(update={"method": "self_attention"})
    decoder = SelfAttentionDecoder(CLOSED, INFO, settings)
    (found,) = CLOSED.decode(decoder(features_of(attention, maps, self_attention=together)), (SIDE, SIDE))
    assert iou(found.target.labels == 2, true_object()) > 0.75
    alone = {8: torch.eye(64)[None]}
    (rough,) = CLOSED.decode(decoder(features_of(attention, maps, self_attention=alone)), (SIDE, SIDE))
    assert iou(rough.target.labels == 2, true_object()) < 0.5


def test_words_without_attention_are_not_found() -> None:
    attention, maps = planted()
    settings = NAMED.model_copy(update={"category_from_prompt": False})
    for task in (CLOSED, TASK):
        decoder = CrossAttentionDecoder(task, INFO, settings)
        (found,) = task.decode(decoder(features_of(torch.zeros_like(attention), maps)), (SIDE, SIDE))
        assert (found.target.labels == 0).all() and found.score == 0
        (found,) = task.decode(decoder(features_of(attention, maps)), (SIDE, SIDE))
        assert set(np.unique(found.target.labels)) == {0, 2}


def test_a_backbone_without_attention_is_a_clear_error() -> None:
    _, maps = planted()
    with pytest.raises(DatasetDMError, match=r"decoder\.method"):
        CrossAttentionDecoder(CLOSED, INFO, NAMED)(DiffusionFeatures({4: maps[None]}, {}))


def test_parts_that_do_not_touch_are_instances() -> None:
    task = InstanceTask([Category(id=number, name=name) for number, name in enumerate(("ant", "bee"))])
    attention, maps = torch.zeros(2, 8, 8), torch.zeros(2, 16, 16)
    maps[0] = 1.0
    for rows, columns in ((slice(1, 3), slice(1, 3)), (slice(4, 7), slice(4, 7))):
        attention[1, rows, columns] = 4.0
        fine = slice(2 * rows.start, 2 * rows.stop), slice(2 * columns.start, 2 * columns.stop)
        maps[0][fine], maps[1][fine] = 0.0, 1.0
    settings = NAMED.model_copy(update={"category_from_prompt": False})
    decoder = CrossAttentionDecoder(task, INFO, settings)
    decoder.steps.fill_(2)
    nothing = features_of(torch.zeros_like(attention), maps)
    both = DiffusionFeatures.cat([features_of(attention, maps), nothing])
    found, empty = task.decode(decoder(both), (SIDE, SIDE))
    assert found.target.labels.tolist() == [1, 1] and len(empty.target) == 0
    assert not (found.target.masks[0] & found.target.masks[1]).any()
    large = max(found.target.masks, key=np.sum)
    true = np.zeros((SIDE, SIDE), dtype=bool)
    true[32:56, 32:56] = True
    assert iou(large, true) > 0.7 and found.target.scores.min() > 0.5


def test_classes_that_are_ruled_out_leave_nothing_to_others() -> None:
    attention, maps = planted()
    for task, size in ((CLOSED, (SIDE, SIDE)), (InstanceTask(CLOSED.categories), (SIDE, SIDE))):
        outputs = CrossAttentionDecoder(task, INFO, NAMED)(features_of(attention, maps))
        (found,) = task.decode(outputs, size, [[3]])
        kept = found.target.category_labels()
        assert set(kept) <= {0}, task.name


# --- what is chosen, and what is trained


def labelled_scenes(seed: int, count: int):
    features, targets = make_scenes(seed, count)
    samples = [
        Sample(name=f"{number}.png", image=np.zeros((SIDE, SIDE, 3), np.uint8), caption="", target=target)
        for number, target in enumerate(targets)
    ]
    return samples, features


def test_thresholds_are_chosen_on_the_labelled_images_and_unseen_classes_lean_on_all() -> None:
    samples, features = labelled_scenes(0, 24)
    decoder = CrossAttentionDecoder(TASK, INFO, NAMED)
    decoder.choose(TASK, [(samples, features)])
    test, targets = make_scenes(1, 24)
    chosen = judge(decoder, TASK, test, targets)["miou"]
    for threshold in (0.1, 0.9):
        decoder.thresholds.fill_(threshold)
        assert judge(decoder, TASK, test, targets)["miou"] < chosen
    hidden = [replace(one, target=TASK.shown(one.target)) for one in samples]
    first, second = CrossAttentionDecoder(TASK, INFO, NAMED), CrossAttentionDecoder(TASK, INFO, NAMED)
    first.choose(TASK, [(samples, features)])
    second.choose(TASK, [(hidden, features)])
    assert torch.equal(first.thresholds, second.thresholds)  # what is unseen has no part in the choice
    assert first.thresholds[UNSEEN[0] - 1] == first.thresholds[UNSEEN[1] - 1]


def ground(steps: int, task=TASK) -> GroundingModule:
    """A grounding module after some steps on scenes whose unseen classes are hidden."""
    torch.manual_seed(0)
    decoder = GroundingModule(task, INFO, NAMED, vectors(0))
    features, targets = make_scenes(0, 32)
    encoded = [task.encode(task.shown(target), (32, 32)) for target in targets]
    decoder.calibrate(features)
    optimizer = torch.optim.AdamW(decoder.train().parameters(), lr=3e-3)
    for _ in range(steps):
        index = torch.randperm(len(targets))[:6]
        losses = decoder.loss(task, features.select(index), [encoded[k] for k in index])
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
    return decoder.eval()


def test_grounding_learns_to_find_a_class_by_its_name() -> None:
    test, targets = make_scenes(1, 16, labels=range(1, 7))
    before, after = (judge(ground(steps), TASK, test, targets)["miou_seen"] for steps in (0, 60))
    assert after > 0.4 > 2 * before


def test_grounding_reads_each_word_for_itself_and_no_attention() -> None:
    decoder = ground(0)
    features, _ = make_scenes(2, 2)
    masks, present = decoder.find(features)
    assert masks.shape == (2, 8, 32, 32) and present.shape == (2, 8)
    blind = replace(features, attention={stride: 0 * values for stride, values in features.attention.items()})
    assert torch.equal(decoder.find(blind)[0], masks)
    some, _ = decoder._ground(features, decoder.embeddings[2:4])[-1]
    torch.testing.assert_close(some, masks[:, 2:4])


def test_every_parameter_of_grounding_learns_and_unseen_classes_have_no_part_in_it() -> None:
    features, targets = make_scenes(3, 8)
    gradients = []
    for hidden in (False, True):
        decoder = ground(0).train()
        shown = [TASK.shown(target) if hidden else target for target in targets]
        losses = decoder.loss(TASK, features, [TASK.encode(target, (32, 32)) for target in shown])
        assert set(losses) == {"loss_mask", "loss_dice", "loss_presence"}
        torch.stack(list(losses.values())).sum().backward()
        gradients.append([parameter.grad for parameter in decoder.parameters()])
    assert all(one is not None and torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_crowds_and_unlabelled_cells_do_not_count_for_grounding() -> None:
    task = InstanceTask([Category(id=number, name=name) for number, name in enumerate(("ant", "bee"))])
    torch.manual_seed(0)
    decoder = GroundingModule(task, INFO, NAMED, vectors(0, 2))
    features, _ = make_scenes(3, 1)
    masks = np.zeros((2, SIDE, SIDE), dtype=bool)
    masks[0, :20, :20], masks[1, 32:, 32:] = True, True
    crowd = replace(Instances.of(masks, np.array([0, 1])), crowd=np.array([False, True]))
    encoded = task.encode(crowd, (32, 32))
    outputs = [decoder.loss(task, features, [encoded])["loss_mask"]]
    spread = {**encoded, "masks": encoded["masks"].clone()}
    spread["masks"][0, 20:, 20:] = 1.0  # within the crowd
    outputs.append(decoder.loss(task, features, [spread])["loss_mask"])
    assert torch.equal(*outputs)


# --- all of them as decoders


@pytest.mark.parametrize("method", RIVALS)
@pytest.mark.parametrize("kind", ["instance", "semantic"])
def test_every_rival_trains_saves_and_loads_as_the_p_decoder_does(
    backbone, samples, settings, method, kind, tmp_path, monkeypatch
) -> None:
    names = ("background", "box", "disc") if kind == "semantic" else ("box", "disc")
    categories = [Category(id=number, name=name) for number, name in enumerate(names)]
    own = config.SemanticAnnotation(unseen=("disc",)) if kind == "semantic" else config.InstanceAnnotation()
    task = build_task(own, categories)
    if kind == "semantic":
        samples = [replace(sample, target=as_map(sample.target)) for sample in samples]
    chosen = settings.model_copy(update={"method": method, "category_from_prompt": True})
    monkeypatch.setattr(backbone, "embed_words", lambda words: vectors(0, len(words)), raising=False)
    metrics = train_decoder(backbone, task, samples[:4], samples[4:6], chosen, seed=0, out=tmp_path)
    assert task.primary_metric in metrics and ("loss" in metrics) == METHODS[method].trained
    assert (tmp_path / "curves.csv").read_text().startswith("iteration,")
    decoder, loaded, read_back = load_decoder(tmp_path, backbone)
    assert (read_back.method, loaded.categories, decoder.learnt) == (method, task.categories, None)
    assert len(decoder_fingerprint(tmp_path)) == 16
    arguments = [sample.image for sample in samples[6:]], [sample.caption for sample in samples[6:]]
    found = predict_images(backbone, decoder, task, *arguments, read_back)
    assert [one.target.warp(np.eye(2, 3), (64, 64)) is not None for one in found] == [True, True]


def as_map(target: Instances) -> SemanticMap:
    labels = np.zeros(target.masks.shape[1:], dtype=np.uint8)
    for mask, label in zip(target.masks, target.labels, strict=True):
        labels[mask] = label + 1
    return SemanticMap.of(labels)


def test_tasks_without_masks_of_words_say_so(backbone, settings) -> None:
    task = build_task(config.DepthAnnotation(), [Category(id=1, name="box"), Category(id=2, name="disc")])
    decoder = build_decoder(
        task, backbone.feature_info, settings.model_copy(update={"method": "cross_attention"}), None
    )
    features, _ = make_scenes(3, 1)
    with pytest.raises(DatasetDMError, match="'depth' cannot be read off masks of words"):
        decoder(features)

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category
from datasetdm.decoder.p_decoder import PDecoder, mask_size
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.tasks.depth import DepthTask
from datasetdm.tasks.losses.depth_loss import log_depth, scale_invariant_loss
from datasetdm.transforms.prompt_noise import vary_prompt
from tests.annotations.test_depth_map import CATEGORIES, SIZE, ramp, random_depth

TASK = DepthTask(CATEGORIES)


STREET = DepthTask((Category(id=1, name="street"),), config.DepthAnnotation(max_depth=80, crop="garg"))


@given(st.integers(0, 10_000), st.sampled_from([(6, 8), (24, 32), (5, 7), (48, 64), (1, 1)]))
@settings(max_examples=30, deadline=None)
def test_encoding_averages_what_is_known(seed: int, size: tuple[int, int]) -> None:
    target = random_depth(seed)
    encoded = TASK.encode(target, size)
    depth, valid = encoded["depth"], encoded["valid_mask"]
    assert depth.shape == valid.shape == size and depth.dtype == torch.float32 and valid.dtype == torch.bool
    low, high = target.depth[target.valid_mask].min(), target.depth.max()
    assert ((depth[valid] >= low - 1e-4) & (depth[valid] <= high + 1e-4)).all()
    if size == (6, 8):
        cells = target.depth.reshape(6, 4, 8, 4).sum((1, 3)) / target.valid_mask.reshape(6, 4, 8, 4).sum((1, 3))
        np.testing.assert_allclose(depth.numpy(), cells, rtol=1e-5)


def test_encoding_leaves_out_what_does_not_count() -> None:
    depth = np.array([[2.0, 30.0, 0.0, 5.0], [2.0, 4.0, 0.0, 5e-4]], np.float32)
    encoded = TASK.encode(DepthMap(depth=depth, valid_mask=depth > 0), (1, 4))
    assert encoded["valid_mask"].tolist() == [[True, True, False, True]]
    assert encoded["depth"].tolist() == [[2.0, 4.0, 0.0, 5.0]]


def to_dense(depth: torch.Tensor, max_depth: float) -> torch.Tensor:
    """What the dense head would put out to say just that."""
    return torch.logit(depth / max_depth)[None, None]


@pytest.mark.parametrize("task", [TASK, STREET])
def test_encoding_and_decoding_come_back(task: DepthTask) -> None:
    target = ramp()
    dense = to_dense(task.encode(target, SIZE)["depth"], task.max_depth)
    (prediction,) = task.decode({"dense": dense}, SIZE)
    np.testing.assert_allclose(prediction.target.depth, target.depth, rtol=1e-4)
    assert prediction.target.valid_mask.all() and prediction.target.depth.dtype == np.float32
    evaluator = build_evaluator(*task.kind)
    evaluator.add(target, prediction.target)
    assert evaluator.compute()["abs_rel"] < 1e-4
    (large,) = task.decode({"dense": dense}, (48, 64))
    assert large.target.depth.shape == (48, 64) and large.target.depth.min() >= 1 and large.target.depth.max() <= 8.01


def test_predictions_stay_between_the_bounds() -> None:
    (prediction,) = TASK.decode({"dense": torch.tensor([[[[-500.0, 500.0]]]])}, (1, 2))
    np.testing.assert_allclose(prediction.target.depth, [[TASK.min_depth, TASK.max_depth]])


def test_the_loss_is_that_of_eigen() -> None:
    rng = np.random.default_rng(0)
    truth, guess = rng.uniform(1, 9, (2, 12))
    known = rng.random(12) < 0.7
    g = (np.log(guess) - np.log(truth))[known]
    expected = (g**2).mean() - 0.5 * g.mean() ** 2
    masks = [torch.from_numpy(known).reshape(3, 4)]
    loss = scale_invariant_loss(
        torch.from_numpy(np.log(guess)).reshape(1, 3, 4), [torch.from_numpy(truth).reshape(3, 4)], masks
    )
    assert loss.item() == pytest.approx(expected)
    outputs = {"dense": to_dense(torch.from_numpy(guess).reshape(3, 4), 10.0)}
    target = {"depth": torch.from_numpy(truth).reshape(3, 4), "valid_mask": masks[0]}
    assert TASK.loss(outputs, [target])["loss_depth"].item() == pytest.approx(expected)


def test_images_count_alike_and_empty_ones_not_at_all() -> None:
    target = TASK.encode(ramp(), SIZE)
    empty = TASK.encode(DepthMap(depth=np.zeros(SIZE, np.float32), valid_mask=np.zeros(SIZE, dtype=bool)), SIZE)
    dense = torch.zeros(1, 1, *SIZE, requires_grad=True)
    alone = TASK.loss({"dense": dense}, [target])["loss_depth"]
    both = TASK.loss({"dense": dense.expand(2, -1, -1, -1)}, [target, empty])["loss_depth"]
    assert alone.item() == pytest.approx(both.item()) and alone > 0
    nothing = TASK.loss({"dense": dense}, [empty])["loss_depth"]
    nothing.backward()
    assert nothing.item() == 0 and dense.grad is not None and not dense.grad.any()


def test_extreme_outputs_have_finite_gradients() -> None:
    dense = torch.tensor([[[[-200.0, 200.0, 0.0, 3.0]]]], requires_grad=True)
    target = TASK.encode(DepthMap(depth=np.array([[1, 2, 0, 9]], np.float32), valid_mask=np.ones((1, 4), bool)), (1, 4))
    loss = TASK.loss({"dense": dense}, [target])["loss_depth"]
    loss.backward()
    assert math.isfinite(loss.item()) and dense.grad is not None and torch.isfinite(dense.grad).all()
    assert torch.isfinite(log_depth(dense, 10)).all()


def test_the_decoder_learns_depth_without_any_word() -> None:
    """Features that hold the depth among noise: learnt from one image, read off another."""
    info = (FeatureLevel(4, 6, 1), FeatureLevel(2, 6, 0))

    def features(target: DepthMap, seed: int) -> DiffusionFeatures:
        generator = torch.Generator().manual_seed(seed)
        depth = torch.from_numpy(target.depth)[None, None].log()
        maps = {}
        for level in info:
            small = torch.nn.functional.avg_pool2d(depth, level.stride)
            maps[level.stride] = torch.randn(1, level.channels, *small.shape[-2:], generator=generator)
            maps[level.stride][:, 0] += 2 * small[0]
        return DiffusionFeatures(maps=maps, attention={4: torch.zeros(1, len(TASK.words), 1, 6, 8)})

    shown = [ramp(), DepthMap(depth=ramp().depth[::-1].copy(), valid_mask=ramp().valid_mask)]
    tilted = np.ascontiguousarray(np.geomspace(1, 8, 32, dtype=np.float32)[None].repeat(24, axis=0))
    unseen = DepthMap(depth=tilted, valid_mask=np.ones(SIZE, dtype=bool))
    torch.manual_seed(0)
    decoder = PDecoder(
        info,
        len(TASK.words),
        config.Decoder(hidden_dim=16, num_heads=4),
        num_classes=len(CATEGORIES),
        uses_queries=TASK.uses_queries,
        dense_channels=TASK.dense_channels,
    )
    batch = DiffusionFeatures.cat([features(target, seed) for seed, target in enumerate(shown)])
    targets = [TASK.encode(target, mask_size(batch)) for target in shown]
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = TASK.loss(decoder(batch), targets)["loss_depth"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    before, after = build_evaluator(TASK.settings, TASK.categories), build_evaluator(TASK.settings, TASK.categories)
    (prediction,) = TASK.decode(decoder.eval()(features(unseen, 9)), SIZE)
    after.add(unseen, prediction.target)
    before.add(unseen, shown[0])
    assert after.compute()["abs_rel"] < 0.5 * before.compute()["abs_rel"]


def test_prompts_are_varied_without_words() -> None:
    noise = config.PromptNoise(empty=0.2, drop_word=0.3, wrong_word=0.3, generic=0.1)
    rng = np.random.default_rng(0)
    varied = {vary_prompt("a photo of a kitchen", TASK.words, noise, rng) for _ in range(200)}
    assert varied == {"a photo of a kitchen", "a photo", ""}


def test_less_error_is_better() -> None:
    assert DepthTask.primary_metric == "abs_rel" and not DepthTask.higher_is_better

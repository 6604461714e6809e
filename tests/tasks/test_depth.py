import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category, Prediction, Sample
from datasetdm.decoder.p_decoder import PDecoder, mask_size
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.depth import DepthTask, colour_depth
from datasetdm.tasks.losses.depth_loss import log_depth, scale_invariant_loss
from datasetdm.transforms.geometry import resize_matrix
from datasetdm.transforms.prompt_noise import vary_prompt

CATEGORIES = (Category(id=1, name="kitchen", supercategory="room"), Category(id=2, name="office"))
TASK = DepthTask(CATEGORIES)
STREET = DepthTask((Category(id=1, name="street"),), config.DepthAnnotation(max_depth=80, crop="garg"))
SIZE = (24, 32)
IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])
SYNTHESIS = config.Synthesis(num_images=1)


def random_depth(seed: int, size: tuple[int, int] = SIZE) -> DepthMap:
    rng = np.random.default_rng(seed)
    known = rng.random(size) < 0.7
    return DepthMap(depth=np.where(known, rng.uniform(0.5, 9.5, size), 0).astype(np.float32), valid_mask=known)


def ramp(size: tuple[int, int] = SIZE) -> DepthMap:
    """A floor: far above, near below."""
    depth = np.repeat(np.geomspace(8, 1, size[0], dtype=np.float32)[:, None], size[1], axis=1)
    return DepthMap(depth=depth, valid_mask=np.ones(size, dtype=bool))


def assert_same(first: DepthMap, second: DepthMap) -> None:
    np.testing.assert_array_equal(first.valid_mask, second.valid_mask)
    np.testing.assert_array_equal(first.depth, second.depth)


# --- geometry


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_identity_and_two_mirrorings_change_nothing(seed: int) -> None:
    target = random_depth(seed)
    assert_same(TASK.warp(target, IDENTITY, SIZE), target)
    mirror = np.array([[-1.0, 0, SIZE[1] - 1], [0, 1, 0]])
    once = TASK.warp(target, mirror, SIZE)
    np.testing.assert_array_equal(once.depth, target.depth[:, ::-1])
    assert_same(TASK.warp(once, mirror, SIZE), target)


@given(st.integers(0, 10_000), st.integers(-40, 40), st.integers(-30, 30))
@settings(max_examples=30, deadline=None)
def test_shifts_leave_the_outside_unknown(seed: int, right: int, down: int) -> None:
    target = random_depth(seed)
    moved = TASK.warp(target, np.array([[1.0, 0, right], [0, 1, down]]), SIZE)
    depth, known = np.zeros(SIZE, np.float32), np.zeros(SIZE, dtype=bool)
    for row, column in np.argwhere(target.valid_mask):
        if 0 <= row + down < SIZE[0] and 0 <= column + right < SIZE[1]:
            depth[row + down, column + right] = target.depth[row, column]
            known[row + down, column + right] = True
    np.testing.assert_array_equal(moved.valid_mask, known)
    np.testing.assert_array_equal(moved.depth, depth)


def test_resizing_mixes_no_depths() -> None:
    target = random_depth(3)
    large = TASK.warp(target, resize_matrix(SIZE, (72, 96)), (72, 96))
    np.testing.assert_array_equal(large.depth, target.depth.repeat(3, axis=0).repeat(3, axis=1))
    assert_same(TASK.warp(large, resize_matrix((72, 96), SIZE), SIZE), target)
    turned = TASK.warp(target, np.array([[0.8, -0.6, 9], [0.6, 0.8, -5]]), (40, 40))
    assert set(turned.depth[turned.valid_mask].tolist()) <= set(target.depth[target.valid_mask].tolist())


def test_what_is_hidden_does_not_travel() -> None:
    target = DepthMap(depth=np.full(SIZE, 5, np.float32), valid_mask=np.zeros(SIZE, dtype=bool))
    assert not TASK.warp(target, IDENTITY, SIZE).depth.any()


def test_tiles_are_merged() -> None:
    first, second = random_depth(1), random_depth(2)
    halves = []
    for target, left in ((first, True), (second, False)):
        inside = target.valid_mask.copy()
        inside[:, 16:] &= not left
        inside[:, :16] &= left
        halves.append(DepthMap(depth=np.where(inside, target.depth, 0), valid_mask=inside))
    merged = TASK.merge(halves)
    np.testing.assert_array_equal(merged.depth[:, :16], first.depth[:, :16])
    np.testing.assert_array_equal(merged.depth[:, 16:], second.depth[:, 16:])
    np.testing.assert_array_equal(merged.valid_mask, merged.depth > 0)
    assert_same(TASK.merge([first]), first)


# --- learning


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
    evaluator = task.evaluator()
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
    before, after = TASK.evaluator(), TASK.evaluator()
    (prediction,) = TASK.decode(decoder.eval()(features(unseen, 9)), SIZE)
    after.add(unseen, prediction.target)
    before.add(unseen, shown[0])
    assert after.compute()["abs_rel"] < 0.5 * before.compute()["abs_rel"]


def test_prompts_are_varied_without_words() -> None:
    noise = config.PromptNoise(empty=0.2, drop_word=0.3, wrong_word=0.3, generic=0.1)
    rng = np.random.default_rng(0)
    varied = {vary_prompt("a photo of a kitchen", TASK.words, noise, rng) for _ in range(200)}
    assert varied == {"a photo of a kitchen", "a photo", ""}


# --- judging


def prediction_of(depth: np.ndarray) -> Prediction:
    return Prediction(target=DepthMap(depth=depth, valid_mask=np.ones(depth.shape, dtype=bool)), score=1.0)


def test_a_teachers_depth_is_a_label_whatever_the_threshold() -> None:
    depth = np.linspace(1, 5, 48, dtype=np.float32).reshape(6, 8)
    found = DepthMap(depth=depth, valid_mask=np.ones((6, 8), dtype=bool))
    settings = config.Synthesis(num_images=1)
    assert TASK.trusted(found, 1.0, settings).rejected is None
    flat = DepthMap(depth=np.ones_like(depth), valid_mask=found.valid_mask)
    assert TASK.trusted(flat, 0.0, settings).rejected == "depth is the same everywhere"


def test_acceptance() -> None:
    accepted = TASK.accept(prediction_of(ramp().depth), SYNTHESIS)
    assert accepted.rejected is None
    assert accepted.scores["depth_range"] == pytest.approx(7) and 1 < accepted.scores["median_depth"] < 8
    assert_same(accepted.target, ramp())
    assert (
        TASK.accept(prediction_of(np.full(SIZE, 3, np.float32)), SYNTHESIS).rejected == "depth is the same everywhere"
    )
    for wrong in (np.nan, np.inf):
        broken = ramp().depth.copy()
        broken[3, 4] = wrong
        assert TASK.accept(prediction_of(broken), SYNTHESIS).rejected == "depth is not finite"


def test_settings_reach_the_evaluator() -> None:
    target = DepthMap(depth=np.full((100, 300), 50, np.float32), valid_mask=np.ones((100, 300), dtype=bool))
    guess = target.depth.copy()
    guess[:30] = 1  # above Garg's crop
    judge = STREET.evaluator()
    judge.add(target, prediction_of(guess).target)
    assert judge.compute()["abs_rel"] == 0
    assert STREET.primary_metric in judge.compute() and not STREET.higher_is_better
    with pytest.raises(DatasetDMError, match="min_depth"):
        DepthTask(CATEGORIES, config.DepthAnnotation().model_copy(update={"min_depth": 10.0}))


def test_near_is_warm_and_the_unknown_black() -> None:
    target = ramp()
    known = target.valid_mask.copy()
    known[:, 0] = False
    picture = colour_depth(DepthMap(depth=target.depth, valid_mask=known)).astype(int)
    assert picture[-1, 5, 0] > picture[-1, 5, 2] and picture[0, 5, 2] > picture[0, 5, 0]  # red below, blue above
    assert not picture[:, 0].any()
    assert not colour_depth(DepthMap(depth=target.depth, valid_mask=~known & False)).any()


def test_drawing_shows_image_and_depth() -> None:
    image = np.full((*SIZE, 3), 200, np.uint8)
    picture = TASK.draw(image, ramp())
    assert picture.dtype == np.uint8 and picture.shape == (384, 1024, 3)
    assert (picture[:, :512] == 200).all() and (picture[:, 512:] != 200).any()


# --- files


def samples(task: DepthTask) -> list[Sample]:
    return [
        Sample(
            name=f"{number}.png",
            image=np.full((*SIZE, 3), number, np.uint8),
            caption="a photo of an office",
            target=random_depth(number),
            image_id=number,
        )
        for number in (4, 2)
    ]


@pytest.mark.parametrize(("task", "unit"), [(TASK, 1e-3), (STREET, 1 / 256)])
def test_files_come_back(task: DepthTask, unit: float, tmp_path: Path) -> None:
    task.save(tmp_path, "test", samples(task))
    read = task.load(tmp_path, "test")
    for before, after in zip(samples(task), read, strict=True):
        assert (after.name, after.caption, after.image_id) == (before.name, before.caption, before.image_id)
        np.testing.assert_array_equal(after.target.valid_mask, before.target.valid_mask)
        np.testing.assert_allclose(after.target.depth, before.target.depth, atol=unit / 2 + 1e-6)
    known = sum(int(sample.target.valid_mask.sum()) for sample in samples(task))
    assert task.check(tmp_path, "test") == {"images": 2, "known_pixels": known}


def test_other_categories_and_maps_without_depth_are_refused(tmp_path: Path) -> None:
    TASK.save(tmp_path, "test", samples(TASK))
    with pytest.raises(DatasetDMError, match="other categories"):
        DepthTask(CATEGORIES[:1]).load(tmp_path, "test")
    far = DepthMap(depth=np.full(SIZE, 40, np.float32), valid_mask=np.ones(SIZE, dtype=bool))
    TASK.save(
        tmp_path,
        "far",
        [Sample(name="far.png", image=np.zeros((*SIZE, 3), np.uint8), caption="", target=far)],
    )
    with pytest.raises(DatasetDMError, match=r"far\.png holds nothing between"):
        TASK.check(tmp_path, "far")

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Sample
from datasetdm.errors import DatasetDMError
from datasetdm.transforms.splice import augment, plan_splices, splice

PAPER = {"1x2": 15, "2x2": 20, "3x3": 20, "5x5": 20, "6x6": 10, "7x7": 5, "8x8": 3}


def make_sample(seed: int, height: int = 24, width: int = 32, caption: str = "") -> Sample:
    """Two objects that do not overlap, painted in the image in their own grey."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), dtype=np.uint8)
    masks = np.zeros((2, height, width), dtype=bool)
    for k, left in enumerate((1, width // 2 + 1)):
        top, bottom = sorted(rng.choice(np.arange(1, height), 2, replace=False))
        masks[k, top : bottom + 1, left : left + int(rng.integers(4, width // 2 - 1))] = True
        image[masks[k]] = 100 + 50 * k
    target = Instances.of(masks, np.array([0, 1]))
    return Sample(name=f"{seed}.png", image=image, caption=caption, target=target)


def test_tiles_keep_their_size_and_are_only_moved() -> None:
    samples = [make_sample(seed) for seed in range(6)]
    spliced = splice(samples, (2, 3), max_size=1000)
    assert spliced.image.shape == (48, 96, 3)
    assert len(spliced.target) == 12
    for position, sample in enumerate(samples):
        rows = slice(24 * (position // 3), 24 * (position // 3) + 24)
        columns = slice(32 * (position % 3), 32 * (position % 3) + 32)
        np.testing.assert_array_equal(spliced.image[rows, columns], sample.image)
        for k in range(2):
            mask = spliced.target.masks[2 * position + k]
            np.testing.assert_array_equal(mask[rows, columns], sample.target.masks[k])
            assert mask.sum() == sample.target.masks[k].sum()
    np.testing.assert_array_equal(spliced.target.labels, [0, 1] * 6)


@pytest.mark.parametrize("max_size", [192, 100])
def test_a_large_grid_shrinks_and_masks_stay_on_their_objects(max_size: int) -> None:
    image, masks = np.zeros((96, 128, 3), dtype=np.uint8), np.zeros((2, 96, 128), dtype=bool)
    masks[0, 20:70, 10:60] = masks[1, 40:90, 70:120] = True
    image[masks.any(axis=0)] = 200
    sample = Sample(name="s.png", image=image, caption="", target=Instances.of(masks, np.array([0, 1])))
    spliced = splice([sample] * 9, (3, 3), max_size=max_size)
    height, width = spliced.image.shape[:2]
    assert max_size - 3 < width <= max_size
    assert height / width == pytest.approx(96 / 128, abs=0.03)
    painted, masked = spliced.image[..., 0] > 100, spliced.target.masks.any(axis=0)
    assert (painted & masked).sum() / (painted | masked).sum() > 0.9
    assert len(spliced.target) == 18


def test_tiles_of_other_sizes_take_the_size_of_the_first() -> None:
    spliced = splice([make_sample(0, 24, 32), make_sample(1, 48, 64)], (1, 2), max_size=1000)
    assert spliced.image.shape == (24, 64, 3)
    right = spliced.target.masks[2:, :, 32:]
    expected = make_sample(1, 48, 64).target.masks[:, ::2, ::2]
    for mask, subsampled in zip(right, expected, strict=True):
        union, common = (mask | subsampled).sum(), (mask & subsampled).sum()
        assert common / union > 0.7
    assert not spliced.target.masks[2:, :, :32].any()


def test_captions_are_joined_once_each() -> None:
    captions = ["a cat", "", "a dog", "a cat"]
    samples = [make_sample(seed, caption=caption) for seed, caption in enumerate(captions)]
    assert splice(samples, (2, 2), max_size=1000).caption == "a cat; a dog"
    assert splice([make_sample(0), make_sample(1)], (1, 2), max_size=1000).caption == ""


def test_tiles_without_objects_are_fine() -> None:
    bare = Sample(name="b.png", image=np.zeros((24, 32, 3), np.uint8), caption="", target=Instances.empty(24, 32))
    assert len(splice([bare, make_sample(0)], (1, 2), max_size=1000).target) == 2
    assert len(splice([bare, bare], (1, 2), max_size=1000).target) == 0


def test_a_wrong_number_of_tiles_is_an_error() -> None:
    with pytest.raises(ValueError, match="takes 4 samples, not 3"):
        splice([make_sample(0)] * 3, (2, 2), max_size=1000)


def test_the_papers_proportions_hold_exactly() -> None:
    plans = plan_splices(93, PAPER, 400, seed=0)
    assert Counter(f"{plan.grid[0]}x{plan.grid[1]}" for plan in plans) == PAPER
    assert len({plan.name for plan in plans}) == 93


@given(
    num_images=st.integers(0, 60),
    weights=st.lists(st.floats(0, 100), min_size=1, max_size=4).filter(lambda values: sum(values) > 1e-3),
    num_samples=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_plans_keep_quota_and_draw_fairly(num_images: int, weights: list[float], num_samples: int, seed: int) -> None:
    proportions = dict(zip(["1x2", "2x2", "3x3", "2x3"], weights, strict=False))
    plans = plan_splices(num_images, proportions, num_samples, seed)
    assert len(plans) == num_images
    counts = Counter(plan.grid for plan in plans)
    for (key, weight), grid in zip(proportions.items(), [(1, 2), (2, 2), (3, 3), (2, 3)], strict=False):
        assert abs(counts[grid] - num_images * weight / sum(weights)) < 1, key
    for plan in plans:
        assert len(plan.indices) == plan.grid[0] * plan.grid[1]
        used = Counter(plan.indices)
        assert max(used.values()) <= -(-len(plan.indices) // num_samples)
        assert set(used) <= set(range(num_samples))
    assert plans == plan_splices(num_images, proportions, num_samples, seed)


def test_another_seed_draws_others() -> None:
    assert plan_splices(5, {"2x2": 1}, 100, seed=0) != plan_splices(5, {"2x2": 1}, 100, seed=1)


@pytest.mark.parametrize("key", ["2", "2x", "0x2", "2x-1", "axb", "2x2x2", ""])
def test_an_unreadable_grid_is_a_clear_error(key: str) -> None:
    with pytest.raises(DatasetDMError, match=f"grid '{key}'"):
        plan_splices(3, {key: 1.0}, 10, seed=0)


@pytest.mark.parametrize("proportions", [{"2x2": 0.0}, {"2x2": 2.0, "1x2": -1.0}, {}])
def test_unusable_weights_are_a_clear_error(proportions: dict[str, float]) -> None:
    with pytest.raises(DatasetDMError, match=r"augmentation\.proportions"):
        plan_splices(3, proportions, 10, seed=0)


def test_nothing_to_splice_is_a_clear_error_unless_nothing_is_asked_for() -> None:
    with pytest.raises(DatasetDMError, match="synthetic set is empty"):
        plan_splices(3, PAPER, 0, seed=0)
    assert plan_splices(0, PAPER, 0, seed=0) == []


def test_augment_makes_what_the_settings_ask_for() -> None:
    samples = [make_sample(seed) for seed in range(3)]
    settings = config.Augmentation(num_images=4, proportions={"1x2": 1, "2x2": 1}, max_size=64)
    spliced = list(augment(samples, settings, prefix="seed_0"))
    assert [sample.name for sample in spliced] == [
        "seed_0_1x2_000000.png",
        "seed_0_1x2_000001.png",
        "seed_0_2x2_000000.png",
        "seed_0_2x2_000001.png",
    ]
    assert {sample.image.shape[:2] for sample in spliced} == {(24, 64), (48, 64)}
    assert [sample.image_id for sample in spliced] == [1, 2, 3, 4]
    part = list(augment(samples, settings, prefix="seed_0", part=slice(2, 9)))
    assert [(sample.name, sample.image_id) for sample in part] == [
        (sample.name, sample.image_id) for sample in spliced[2:]
    ]
    again = list(augment(samples, settings, prefix="seed_0"))
    assert all(np.array_equal(one.image, other.image) for one, other in zip(spliced, again, strict=True))

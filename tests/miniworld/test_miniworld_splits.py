"""Train, dev and test draw from disjoint parts of the style space."""

import numpy as np
import pytest

from datasetdm.miniworld import DISTRIBUTIONS, THING_BY_NAME, sample_scene
from datasetdm.miniworld.distributions import HABITS, SPLITS, draw_style, style_splits


@pytest.mark.parametrize("split", SPLITS)
def test_styles_belong_to_their_split(split: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(500):
        assert style_splits(draw_style(rng, split)) == (split, split)


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_covers_each_number_alone(split: str) -> None:
    """No single value is foreign to a split: only the combinations are held out."""
    rng = np.random.default_rng(2)
    styles = np.array([draw_style(rng, split) for _ in range(2000)])
    assert styles.min() >= 0
    assert styles.max() < 1
    for k in range(4):
        counts, _ = np.histogram(styles[:, k], bins=5, range=(0, 1))
        assert counts.min() > 250


@pytest.mark.parametrize(
    ("distribution", "split"), [("web", "train"), ("coco", "train"), ("coco", "dev"), ("coco", "test")]
)
def test_scenes_hold_objects_of_their_split_alone(distribution: str, split: str) -> None:
    for k in range(40):
        scene = sample_scene(np.random.default_rng([3, k]), distribution, split)
        for o in scene.objects:
            assert style_splits(o.style) == (split, split)


def test_coco_is_a_shifted_subset_of_web() -> None:
    web, coco = DISTRIBUTIONS["web"], DISTRIBUTIONS["coco"]
    assert set(HABITS) == set(THING_BY_NAME)
    assert set(coco.categories) < set(web.categories)
    assert len(coco.categories) >= 20
    assert "person" in coco.categories
    assert web.focal[0] < coco.focal[0] < coco.focal[1] < web.focal[1]
    assert coco.saturation[1] < web.saturation[1]

"""What stands together."""

from collections import Counter

import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.prompts import write_prompts
from datasetdm.prompts.cooccurrence import CoOccurrence

NAMES = ("car", "cup", "table")


def test_rows_are_distributions_of_further_objects() -> None:
    together = CoOccurrence.learn([{"cup": 3, "table": 1}, {"cup": 1}, {"car": 1}], NAMES, smoothing=1e-9)
    # With a cup there were two further cups and a table.
    assert together.companions[1] == pytest.approx([0, 2 / 3, 1 / 3], abs=1e-6)
    assert together.companions[2] == pytest.approx([0, 1, 0], abs=1e-6)
    assert together.companions[0] == pytest.approx([1 / 3] * 3, abs=1e-6)  # a car was alone: anything may join


def test_what_no_image_shows_stays_possible() -> None:
    together = CoOccurrence.learn([{"cup": 1, "table": 1}] * 5, NAMES)
    assert (together.companions > 0).all() and together.companions.sum(axis=1) == pytest.approx(1)
    assert together.companions[1, 2] > 10 * together.companions[1, 0]


def test_no_images_and_names_that_nobody_asked_for() -> None:
    assert CoOccurrence.learn([], NAMES).companions == pytest.approx(np.full((3, 3), 1 / 3))
    assert CoOccurrence.learn([{"dog": 4}], ("cup",)).companions.tolist() == [[1.0]]


def test_draws_follow_what_was_seen() -> None:
    together = CoOccurrence.learn([{"cup": 1, "table": 1}] * 8 + [{"cup": 1, "car": 1}] * 2, NAMES)
    rng = np.random.default_rng(0)
    scenes = [together.draw(1, 2, rng) for _ in range(2000)]
    assert all(scene[1] >= 1 and sum(scene.values()) == 2 for scene in scenes)
    joined = Counter(label for scene in scenes for label in scene if label != 1)
    assert joined[2] / 2000 == pytest.approx(together.companions[1, 2], abs=0.03)
    assert joined[0] / 2000 == pytest.approx(together.companions[1, 0], abs=0.03)


def test_prompts_have_the_company_of_the_labelled_images(warehouse: list[Category]) -> None:
    images = [{"forklift": 1, "pallet": 2}] * 6 + [{"safety vest": 1, "hard hat": 1}] * 6
    settings = config.Prompts(num_prompts=600, max_objects=3, plain_fraction=0.0, companions="real")
    frame = write_prompts(warehouse, settings, images)
    pairs = Counter(names for names in frame["categories"].map(lambda text: tuple(sorted(text.split(";")))))
    assert pairs["forklift", "pallet"] > 8 * pairs["forklift", "hard hat"]
    assert pairs["hard hat", "safety vest"] > 8 * pairs["pallet", "safety vest"]
    assert frame["prompt"].str.contains("forklift and two pallets|two pallets and a forklift").any()
    named = Counter(name for names in pairs for name in names for _ in range(pairs[names]))
    assert min(named.values()) > 0.6 * max(named.values())
    assert frame.equals(write_prompts(warehouse, settings, images))


def test_companions_without_labelled_objects_are_those_of_the_scene(coco: list[Category]) -> None:
    settings = config.Prompts(num_prompts=50, companions="real")
    scenes = settings.model_copy(update={"companions": "scenes"})
    assert write_prompts(coco, settings, []).equals(write_prompts(coco, scenes, [{"dog": 1}]))


def test_places_suit_everything_in_them(coco: list[Category]) -> None:
    images = [{"cup": 1, "dining table": 1}, {"surfboard": 1, "person": 1}, {"car": 1, "cup": 1}]
    settings = config.Prompts(num_prompts=800, plain_fraction=0.0, companions="real", max_objects=2)
    frame = write_prompts(coco, settings, images)
    both = frame[frame["categories"].isin(["car;cup", "cup;car"])]["prompt"]
    assert len(both) and not both.str.contains("road|street|table").any()  # no scene of the tables has both
    assert frame[frame["categories"] == "surfboard;person"]["prompt"].str.contains("beach|sea|sand").all()


def test_one_category_alone() -> None:
    settings = config.Prompts(num_prompts=40, plain_fraction=0.0, companions="real", min_objects=2, max_objects=3)
    frame = write_prompts([Category(id=1, name="forklift")], settings, [{"forklift": 1}])
    assert frame["prompt"].str.contains("(?:two|three) forklifts").all()

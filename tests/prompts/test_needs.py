import math

import numpy as np
import pandas as pd
import pytest

from datasetdm import config
from datasetdm.prompts.needs import Measure, Need, assess_needs, choose_rows, place_prompts, slice_shares, weigh_prompts

SETTINGS = config.Feedback()


def manifest(rows: list[tuple[str, str, bool, float]], **columns: list[float]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["prompt", "prompt_categories", "accepted", "score"])
    return frame.assign(**columns)


EVEN = manifest([("a dog at night", "dog", True, 0.8), ("a car in the rain", "car", True, 0.8)] * 10)


def need(value: float) -> Need:
    return Need(weakness=value, rejection=0.5, uncertainty=0.5, need=value)


def test_what_is_weak_needs_more_and_what_is_strong_less() -> None:
    scores = {"category: dog": Measure(0.1, 50), "category: car": Measure(0.7, 50), "place: room": Measure(0.4, 50)}
    needs = assess_needs([(Measure(0.4, 100), scores)], EVEN, SETTINGS, higher_is_better=True)
    assert needs["category: dog"].need > needs["place: room"].need > needs["category: car"].need
    assert needs["place: room"].weakness == pytest.approx(0.5)


def test_errors_are_bad_when_they_are_high() -> None:
    scores = {"place: room": Measure(0.2, 50), "place: street": Measure(0.05, 50)}
    needs = assess_needs([(Measure(0.1, 100), scores)], EVEN, SETTINGS, higher_is_better=False)
    assert needs["place: room"].weakness > 0.5 > needs["place: street"].weakness


def test_few_images_say_little() -> None:
    scores = {"category: dog": Measure(0.0, 1), "category: car": Measure(0.0, 100)}
    needs = assess_needs([(Measure(0.4, 100), scores)], EVEN, SETTINGS, higher_is_better=True)
    assert 0.5 < needs["category: dog"].weakness < 0.6 < 0.9 < needs["category: car"].weakness


def test_seeds_are_averaged_and_what_dev_does_not_show_is_average() -> None:
    seeds = [(Measure(0.4, 9), {"category: dog": Measure(value, 90)}) for value in (0.1, 0.7)]
    needs = assess_needs(seeds, EVEN, SETTINGS, higher_is_better=True)
    alone = [assess_needs([one], EVEN, SETTINGS, higher_is_better=True)["category: dog"].weakness for one in seeds]
    assert needs["category: dog"].weakness == pytest.approx(sum(alone) / 2)
    assert needs["category: car"].weakness == needs["weather: rain"].weakness == 0.5


def test_rejected_and_unsure_images_are_asked_for_again() -> None:
    rows = [("a dog", "dog", index % 2 == 0, 0.9) for index in range(40)]
    rows += [("a car", "car", True, 0.3) for _ in range(40)]
    needs = assess_needs([(Measure(0.4, 9), {})], manifest(rows), SETTINGS, higher_is_better=True)
    assert needs["category: dog"].rejection > 0.5 > needs["category: car"].rejection
    assert needs["category: car"].uncertainty > 0.5 > needs["category: dog"].uncertainty


def test_tasks_without_scores_and_a_model_that_learns_nothing_are_average() -> None:
    scores = {"light: night": Measure(0.0, 9)}
    needs = assess_needs([(Measure(0.0, 9), scores)], EVEN.drop(columns="score"), SETTINGS, higher_is_better=True)
    assert {one.need for one in needs.values()} == {0.5}
    nothing = assess_needs([(Measure(math.nan, 0), {})], EVEN[:0], SETTINGS, higher_is_better=True)
    assert nothing == {}


def test_a_prompt_is_weighed_by_its_slices() -> None:
    placed = [{"light: night": 1.0, "category: dog": 1.0}, {"category: dog": 1.0}, {}]
    needs = {"light: night": need(0.9), "category: dog": need(0.5)}
    weights = weigh_prompts(placed, needs, config.Feedback(floor=0.0, strength=2.0))
    assert weights.sum() == pytest.approx(1)
    assert weights[0] / weights[1] == pytest.approx((0.9 / 0.5) ** 2) and weights[1] == weights[2]
    assert weigh_prompts(placed, needs, config.Feedback(strength=0)).tolist() == pytest.approx([1 / 3] * 3)


def test_every_prompt_stays_possible() -> None:
    weights = weigh_prompts([{"a: b": 1.0}, {"c: d": 1.0}], {"a: b": need(0.0), "c: d": need(1.0)}, SETTINGS)
    assert weights.tolist() == pytest.approx([0.1, 0.9])
    none = weigh_prompts([{"a: b": 1.0}] * 4, {"a: b": need(0.0)}, SETTINGS)
    assert none.tolist() == [0.25] * 4


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_the_shares_are_met(count: int) -> None:
    weights = np.random.default_rng(0).dirichlet(np.full(50, 0.3))
    placed = [{f"category: {row % 7}": 1.0} for row in range(50)]
    rows = choose_rows(weights, placed, count, seed=3)
    assert len(rows) == count and rows == sorted(rows) == choose_rows(weights, placed, count, seed=3)
    assert (abs(np.bincount(rows, minlength=50) - count * weights) < 1).all()
    of_category = [sum(row % 7 == label for row in rows) - count * weights[label::7].sum() for label in range(7)]
    assert max(map(abs, of_category)) < 1


def test_sizes_of_prompts_follow_from_what_was_drawn() -> None:
    rows = [("a dog", "dog", True, 0.8), ("five dogs", "dog", True, 0.8), ("a car", "car", False, 0.0)] * 3
    drawn = manifest(rows, num_objects=[1.0, 5.0, 0.0] * 3, covered_area=[0.3, 0.01, 0.0] * 3)
    pool = pd.DataFrame({"prompt": ["a bird", "five birds", "a cat"], "categories": ["bird", "bird", "cat"]})
    placed = place_prompts(pool, drawn)
    one, five = {"size: large": 0.875, "size: small": 0.125}, {"size: large": 0.125, "size: small": 0.875}
    assert [placed[0], placed[1]] == [{"category: bird": 1.0, **one}, {"category: bird": 1.0, **five}]
    assert slice_shares(placed, [0, 1, 1, 1])["size: small"] == pytest.approx((0.125 + 3 * 0.875) / 4)


def test_prompts_of_tasks_without_objects_have_no_size() -> None:
    pool = pd.DataFrame({"prompt": ["a lamp in a room"], "categories": ["lamp"]})
    assert place_prompts(pool, EVEN) == [{"category: lamp": 1.0, "place: room": 1.0}]


def test_ten_thousand_prompts_take_no_time() -> None:
    pool = pd.DataFrame({"prompt": ["a red car at night", "two sheep"] * 5000, "categories": ["car", "sheep"] * 5000})
    placed = place_prompts(pool, EVEN)
    weights = weigh_prompts(placed, {"light: night": need(1.0)}, SETTINGS)
    rows = choose_rows(weights, placed, 5000, seed=0)
    assert slice_shares(placed, rows)["light: night"] > 0.8

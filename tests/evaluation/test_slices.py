"""Slices with the real evaluators, and a planted weakness that is found on dev and asked for in the next round."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.annotations.sizes import object_sizes
from datasetdm.evaluation.slices import SliceEvaluator
from datasetdm.miniworld.catalog import THINGS
from datasetdm.prompts import write_prompts
from datasetdm.prompts.needs import (
    Measure,
    Need,
    assess_needs,
    choose_rows,
    place_prompts,
    slice_shares,
    weigh_prompts,
)

CATEGORIES = tuple(Category(id=one.id, name=one.name, supercategory=one.supercategory) for one in THINGS)
SIDE = 128
LIGHTS, WEATHERS = ("during the day", "at night", ""), ("under a clear sky", "in the rain", "")
SETTINGS = config.Feedback()

#: Caption and true objects -> what a model finds.
Model = Callable[[str, Instances], Instances]


def scene(rng: np.random.Generator) -> Instances:
    """One to four objects in a grid of cells, from 6 pixels a side (small at COCO's size) to 40 (large)."""
    cells = rng.choice(9, size=rng.integers(1, 5), replace=False)
    masks = np.zeros((len(cells), SIDE, SIDE), dtype=bool)
    for mask, cell in zip(masks, cells.tolist(), strict=True):
        side, (row, column) = int(rng.choice([5, 14, 30])), (42 * (cell // 3), 42 * (cell % 3))
        mask[row : row + side, column : column + side] = True
    return Instances.of(masks, rng.integers(0, 8, len(cells)))


def judge(model: Model, number: int = 120) -> tuple[Measure, dict[str, Measure]]:
    """The slices of a model on dev."""
    rng = np.random.default_rng(0)
    evaluator = SliceEvaluator(config.InstanceAnnotation(), CATEGORIES, "mask_ap")
    for _ in range(number):
        caption, target = f"things {rng.choice(LIGHTS)} {rng.choice(WEATHERS)}", scene(rng)
        evaluator.add(caption, target, model(caption, target))
    return evaluator.compute()


def drawn(prompts: pd.DataFrame) -> pd.DataFrame:
    """A manifest in which every image shows what was asked for: many objects are small ones."""
    counts = prompts["categories"].str.split(";").str.len() + prompts["prompt"].str.contains("two|three|four")
    return pd.DataFrame(
        {
            "prompt": prompts["prompt"],
            "prompt_categories": prompts["categories"],
            "accepted": True,
            "score": 0.8,
            "num_objects": counts.astype(float),
            "covered_area": np.where(counts > 2, 0.0005, 0.05) * counts,
        }
    )


def ask_next(
    scores: tuple[Measure, dict[str, Measure]], prompts: pd.DataFrame
) -> tuple[dict[str, Need], dict[str, float], dict[str, float]]:
    """The needs, and the share of the prompts for each slice in the table and in the next 200 images."""
    manifest = drawn(prompts)
    needs = assess_needs([scores], manifest, SETTINGS, higher_is_better=True)
    placed = place_prompts(prompts, manifest)
    rows = choose_rows(weigh_prompts(placed, needs, SETTINGS), placed, 200, seed=0)
    return needs, slice_shares(placed, range(len(placed))), slice_shares(placed, rows)


def templates() -> pd.DataFrame:
    return write_prompts(CATEGORIES, config.Prompts(num_prompts=400))


def blind_to_rain_at_night(caption: str, target: Instances) -> Instances:
    return target.select(np.zeros(len(target), dtype=bool) if "night in the rain" in caption else slice(None))


def blind_to_small_objects(caption: str, target: Instances) -> Instances:
    return target.select(np.array([size != "small" for size in object_sizes(target)]))


def test_a_perfect_model_is_perfect_everywhere() -> None:
    whole, slices = judge(lambda caption, target: target)
    assert whole == Measure(1.0, 120)
    assert {measure.value for measure in slices.values()} == {1.0}
    assert {"category: person", "size: small", "light: night", "light and weather: night, rain"} <= slices.keys()


def test_rain_at_night_is_found_and_asked_for() -> None:
    """Templates never name light and weather together, so that a few rows are added by hand."""
    scores = judge(blind_to_rain_at_night)
    pool = templates()
    extra = pool[pool["kind"] == "template"].head(20)
    extra = extra.assign(prompt=extra["prompt"] + " at night in the rain", id=range(400, 420))
    pool = pd.concat([pool, extra], ignore_index=True)
    needs, before, after = ask_next(scores, pool)
    weakest = max((name for name in scores[1]), key=lambda name: needs[name].weakness)
    assert weakest == "light and weather: night, rain" and scores[1][weakest].value == 0.0
    assert needs["light: night"].weakness > 0.5 > needs["light: day"].weakness
    assert after[weakest] > 1.5 * before[weakest] > 0
    assert after["light: night"] > before["light: night"] and after["weather: rain"] > before["weather: rain"]


def test_small_objects_are_found_and_asked_for() -> None:
    scores = judge(blind_to_small_objects)
    assert scores[1]["size: small"].value == 0.0 and scores[1]["size: large"].value == pytest.approx(1.0)
    needs, before, after = ask_next(scores, templates())
    assert max(needs, key=lambda name: needs[name].need) == "size: small"
    assert after["size: small"] > 1.5 * before["size: small"] > 0


def test_a_category_that_is_never_found_is_asked_for_but_not_alone() -> None:
    scores = judge(lambda caption, target: target.select(target.labels != 3))
    name = f"category: {CATEGORIES[3].name}"
    needs, before, after = ask_next(scores, templates())
    assert max(needs, key=lambda one: needs[one].need) == name
    assert after[name] > 1.5 * before[name]
    assert all(share > 0 for one, share in after.items() if one.startswith("category: "))


def test_a_model_that_is_even_asks_for_what_there_is() -> None:
    _, before, after = ask_next(judge(lambda caption, target: target), templates())
    assert all(after[name] == pytest.approx(before[name], abs=0.03) for name in before)


def test_more_categories_than_a_table_lists() -> None:
    categories = tuple(Category(id=number, name=f"thing {number}") for number in range(150))
    evaluator = SliceEvaluator(config.InstanceAnnotation(), categories, "mask_ap")
    target = replace(scene(np.random.default_rng(1)))
    target = replace(target, labels=np.full(len(target), 149))
    evaluator.add("", target, target)
    assert evaluator.compute()[1]["category: thing 149"] == Measure(1.0, 1)


def test_maps_have_categories_and_no_sizes() -> None:
    settings = config.task_settings({"name": "semantic"})
    evaluator = SliceEvaluator(settings, CATEGORIES[:3], "miou")
    labels = np.zeros((5, 9), dtype=np.uint8)
    labels[2:] = 1
    evaluator.add("in the fog", SemanticMap.of(labels), SemanticMap.of(np.zeros_like(labels)))
    evaluator.add("", SemanticMap.of(labels), SemanticMap.of(labels))
    whole, slices = evaluator.compute()
    assert whole.count == 2 and set(slices) == {"weather: fog", *(f"category: {CATEGORIES[n].name}" for n in (0, 1))}
    assert slices["weather: fog"].value < whole.value < 1
    assert slices[f"category: {CATEGORIES[1].name}"] == Measure(0.5, 2)


def test_depth_has_slices_by_caption_alone() -> None:
    evaluator = SliceEvaluator(config.task_settings({"name": "depth"}), (), "abs_rel")
    depth = DepthMap(depth=np.full((4, 6), 2.0, np.float32), valid_mask=np.ones((4, 6), bool))
    evaluator.add("a lamp in a room", depth, replace(depth, depth=depth.depth * 1.5))
    evaluator.add("a chair indoors at night", depth, depth)
    whole, slices = evaluator.compute()
    assert whole.value == pytest.approx(0.25)
    assert slices == {"place: room": Measure(whole.value, 2), "light: night": Measure(0.0, 1)}

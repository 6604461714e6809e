from dataclasses import replace

import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.filters import build_filter
from datasetdm.filters.agreement import DISAGREEING, OTHER_COUNTS, accept
from datasetdm.filters.base import compare_counts
from tests.annotations.test_persons import COUPLE
from tests.filters.test_instance_filter import FILTER, predicted, thresholds

READ = {"flip_agreement": 0.6, "timestep_agreement": 0.8}


def lowest(**values: float) -> config.Filter:
    return thresholds(score_threshold=0.5, min_agreement=values)


def test_an_image_that_was_read_once_has_the_scores_that_it_always_had() -> None:
    seen, settings = predicted((0.9, 0.8, 0.3)), thresholds(score_threshold=0.5)
    once, plain = accept(FILTER, seen, settings, {0: 2}), FILTER.accept(seen, settings)
    assert (once.rejected, once.scores) == (plain.rejected, plain.scores)
    assert "min_agreement" not in settings.model_dump() and "min_agreement" in lowest(flip=0.5).model_dump()


def test_the_columns_of_an_image_that_was_read_in_several_ways() -> None:
    seen = replace(predicted((0.9, 0.8, 0.3)), agreement=READ)
    label = int(seen.target.labels[0])
    there = int((seen.target.labels[:2] == label).sum())
    found = accept(FILTER, seen, thresholds(score_threshold=0.5), {label: there + 1})
    assert found.rejected is None
    assert {name: found.scores[name] for name in READ} == READ
    assert found.scores["count_agreement"] == pytest.approx(there / (there + 1))
    assert "count_agreement" not in accept(FILTER, seen, thresholds(score_threshold=0.5), {label: None}).scores


def test_an_image_whose_readings_do_not_agree_is_rejected() -> None:
    seen = replace(predicted((0.9, 0.8, 0.3)), agreement=READ)
    label = int(seen.target.labels[0])
    assert accept(FILTER, seen, lowest(flip=0.6, timestep=0.8), {}).rejected is None
    assert accept(FILTER, seen, lowest(flip=0.61), {}).rejected == DISAGREEING
    assert accept(FILTER, seen, lowest(timestep=0.81), {}).rejected == DISAGREEING
    assert accept(FILTER, seen, lowest(count=1.0), {}).rejected is None  # the prompt gives no number
    assert accept(FILTER, seen, lowest(count=0.9), {label: 9}).rejected == OTHER_COUNTS
    other = accept(FILTER, seen, config.Filter(score_threshold=0.95, min_agreement=config.MinAgreement(flip=0.9)), {})
    assert other.rejected == "no object above the score threshold"  # the first reason stays


def test_the_numbers_of_a_prompt() -> None:
    assert compare_counts({0: 2, 1: 1}, {0: 2, 1: 1}) == 1
    assert compare_counts({0: 1}, {0: 2, 1: None}) == 0.5
    assert compare_counts({}, {0: 3}) == 0
    assert compare_counts({0: 4}, {}) is None


def test_persons_are_counted_and_depth_is_not() -> None:
    persons = build_filter(config.PoseAnnotation(), [Category(id=1, name="person")])
    prediction = Prediction(target=replace(COUPLE, scores=np.float32([0.9, 0.8])), score=0.85, agreement=READ)
    assert accept(persons, prediction, thresholds(score_threshold=0.5), {0: 4}).scores["count_agreement"] == 0.5
    depth = build_filter(config.DepthAnnotation(), [Category(id=1, name="kitchen")])
    ramp = DepthMap(depth=np.linspace(1, 3, 12, dtype=np.float32).reshape(3, 4), valid_mask=np.ones((3, 4), bool))
    scores = accept(depth, Prediction(target=ramp, score=1.0, agreement=READ), thresholds(), {0: 1}).scores
    assert scores["flip_agreement"] == 0.6 and "count_agreement" not in scores

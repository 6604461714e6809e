import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.sample import Prediction
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.filters import build_filter
from datasetdm.filters.base import NOT_FOUND
from tests.annotations.test_semantic_map import CATEGORIES, SIZE, assert_same, scene

FILTER = build_filter(config.SemanticAnnotation(), CATEGORIES)


def thresholds(**values: object) -> config.Filter:
    return config.Filter.model_validate(values)


def predicted(confidence: float, box: float = 1.0) -> Prediction:
    """The scene as a prediction; the box has one confidence, and all else another."""
    target = scene()
    values = np.where(target.labels == 1, box, confidence).astype(np.float32)
    return Prediction(target=SemanticMap(labels=target.labels, confidence=values), score=confidence)


def test_filters_and_their_reasons() -> None:
    accepted = FILTER.accept(predicted(0.9), thresholds(score_threshold=0.5))
    assert accepted.rejected is None
    assert_same(accepted.target, predicted(0.9).target)
    assert accepted.scores == {
        "score": 0.9,
        "num_categories": 2,
        "covered_area": pytest.approx((120 + 144) / 768),
        "ignored_area": pytest.approx(2 / 32),
    }
    unsure = FILTER.accept(predicted(0.4), thresholds(score_threshold=0.5))
    assert unsure.rejected == "mean certainty below the score threshold"
    background = SemanticMap.of(np.zeros(SIZE, dtype=np.uint8))
    nothing = FILTER.accept(Prediction(target=background, score=0.0), thresholds(score_threshold=0))
    assert nothing.rejected == "nothing but background or ignored pixels"
    assert nothing.scores["num_categories"] == nothing.scores["covered_area"] == 0


def test_what_the_prompt_names_has_to_be_found() -> None:
    choosy = thresholds(require_prompted=True)
    assert FILTER.accept(predicted(0.9), choosy, {1: 2}).rejected is None
    assert FILTER.accept(predicted(0.9), choosy, {len(CATEGORIES) + 1: None}).rejected == NOT_FOUND


def test_uncertain_pixels_and_small_categories_are_ignored() -> None:
    strict = build_filter(config.SemanticAnnotation(min_certainty=0.5), CATEGORIES)
    unsure = strict.accept(predicted(0.9, box=0.3), thresholds())
    assert unsure.rejected is None
    np.testing.assert_array_equal(unsure.target.labels, np.where(scene().labels == 1, IGNORE, scene().labels))
    assert unsure.scores["num_categories"] == 1
    small = FILTER.accept(predicted(0.9), thresholds(min_area=130 / 768))  # the box has 120 pixels
    np.testing.assert_array_equal(small.target.labels, unsure.target.labels)
    assert FILTER.accept(predicted(0.9), thresholds(min_area=1.0)).rejected is not None
    assert (FILTER.accept(predicted(0.9), thresholds(min_area=1.0)).target.labels[scene().labels == 0] == 0).all()


def test_only_pixels_that_a_teacher_is_certain_of_are_labels() -> None:
    found = predicted(0.9, box=0.3).target
    other = thresholds(score_threshold=1.0)  # the threshold of the synthetic set does not count
    sure = FILTER.filter_pseudo_labels(found, 0.5, other)
    assert sure.rejected is None
    np.testing.assert_array_equal(sure.target.labels, np.where(scene().labels == 1, IGNORE, scene().labels))
    assert FILTER.filter_pseudo_labels(found, 0.2, thresholds()).target.labels.tolist() == scene().labels.tolist()
    assert FILTER.filter_pseudo_labels(found, 0.95, thresholds()).rejected is not None


def test_nothing_but_ignored_pixels_is_rejected() -> None:
    nothing = Prediction(target=SemanticMap.of(np.full(SIZE, IGNORE)), score=0.0)
    assert FILTER.accept(nothing, thresholds()).rejected == "nothing but background or ignored pixels"

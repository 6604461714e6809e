import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Prediction
from datasetdm.filters import build_filter
from datasetdm.filters.base import NOT_FOUND
from datasetdm.filters.instance import DOUBTFUL, OTHER_NUMBER
from tests.annotations.test_instances import CATEGORIES, SIZE, apart

FILTER = build_filter(config.InstanceAnnotation(), CATEGORIES)


def thresholds(**values: object) -> config.Filter:
    return config.Filter.model_validate(values)


def predicted(scores: tuple[float, ...]) -> Prediction:
    target = apart()
    order = np.argsort(scores)[::-1]
    found = Instances.of(target.masks[order], target.labels[order], np.array(scores)[order])
    return Prediction(target=found, score=float(np.mean(scores)))


def test_filters_and_their_reasons() -> None:
    accepted = FILTER.accept(predicted((0.9, 0.3, 0.6)), thresholds(score_threshold=0.5))
    assert accepted.rejected is None
    assert accepted.target.scores.tolist() == pytest.approx([0.9, 0.6])
    assert accepted.scores["num_objects"] == 2
    assert accepted.scores["score"] == pytest.approx(0.75)
    unsure = FILTER.accept(predicted((0.2, 0.3, 0.1)), thresholds(score_threshold=0.5))
    assert unsure.rejected == "no object above the score threshold"
    assert unsure.scores["best_score"] == pytest.approx(0.3)
    small = FILTER.accept(predicted((0.9, 0.9, 0.9)), thresholds(min_area=0.5))
    assert small.rejected == "no object above the minimum area"
    assert len(small.target) == 0
    nothing = FILTER.accept(Prediction(target=Instances.empty(*SIZE), score=0), thresholds())
    assert nothing.rejected is not None
    assert len(FILTER.accept(predicted((0.9, 0.8, 0.7)), thresholds(max_instances=2)).target) == 2


def test_what_the_prompt_names_has_to_be_found() -> None:
    sure, choosy = predicted((0.9, 0.8, 0.3)), thresholds(score_threshold=0.5, require_prompted=True)
    found, missed = sorted({*sure.target.labels[:2].tolist()}), int(sure.target.labels[2])
    assert FILTER.accept(sure, choosy, dict.fromkeys(found)).rejected is None
    assert FILTER.accept(sure, choosy, {missed: None}).rejected == NOT_FOUND
    assert FILTER.accept(sure, thresholds(score_threshold=0.5), {missed: None}).rejected is None


def test_as_many_objects_as_the_prompt_asks_for_have_to_be_found() -> None:
    sure, choosy = predicted((0.9, 0.8, 0.3)), thresholds(score_threshold=0.5, require_prompted=True)
    first, second = sure.target.labels[:2].tolist()
    assert FILTER.accept(sure, choosy, {first: 1, second: 1}).rejected is None
    assert FILTER.accept(sure, choosy, {first: 2, second: None}).rejected == OTHER_NUMBER
    assert FILTER.accept(sure, thresholds(score_threshold=0.5), {first: 2}).rejected is None


def test_an_image_with_an_object_of_doubtful_score_is_rejected() -> None:
    seen = predicted((0.9, 0.8, 0.3))
    assert FILTER.accept(seen, thresholds(score_threshold=0.5, doubt_threshold=0.2)).rejected == DOUBTFUL
    assert FILTER.accept(seen, thresholds(score_threshold=0.5, doubt_threshold=0.35)).rejected is None
    assert FILTER.accept(seen, thresholds(score_threshold=0.3, doubt_threshold=0.2)).rejected is None
    # Scores of another model are on another scale.
    doubting = thresholds(score_threshold=0.5, doubt_threshold=0.2)
    assert FILTER.filter_pseudo_labels(seen.target, 0.5, doubting).rejected is None


def test_only_objects_that_a_teacher_is_certain_of_are_labels() -> None:
    found = predicted((0.9, 0.4)).target
    assert len(FILTER.filter_pseudo_labels(found, 0.5, thresholds(score_threshold=0.0)).target) == 1
    assert len(FILTER.filter_pseudo_labels(found, 0.3, thresholds(score_threshold=1.0)).target) == 2
    assert FILTER.filter_pseudo_labels(found, 0.95, thresholds(score_threshold=0.0)).rejected is not None


def test_accepted_objects_share_no_pixel_and_the_likelier_has_it() -> None:
    masks = np.zeros((2, *SIZE), dtype=bool)
    masks[0, 2:12, 2:12], masks[1, 8:20, 8:20] = True, True
    prediction = Prediction(target=Instances.of(masks, np.array([0, 1]), np.array([0.9, 0.8])), score=0.85)
    accepted = FILTER.accept(prediction, thresholds()).target
    assert not accepted.masks.all(axis=0).any()
    np.testing.assert_array_equal(accepted.masks[0], masks[0])
    np.testing.assert_array_equal(accepted.masks[1], masks[1] & ~masks[0])


def test_a_second_view_of_an_accepted_object_is_dropped() -> None:
    masks = np.zeros((3, *SIZE), dtype=bool)
    masks[0, 2:12, 2:12], masks[1, 2:12, 2:16], masks[2, 14:20, 2:8] = True, True, True
    prediction = Prediction(target=Instances.of(masks, [0, 0, 0], np.array([0.9, 0.8, 0.7])), score=0.8)
    np.testing.assert_array_equal(FILTER.accept(prediction, thresholds()).target.masks, masks[[0, 2]])
    assert FILTER.accept(Prediction(target=Instances.empty(*SIZE), score=0.0), thresholds()).target.masks.dtype == bool


def test_half_seen_objects_become_regions_to_ignore() -> None:
    seen = predicted((0.9, 0.8, 0.3))
    plain = FILTER.accept(seen, thresholds(score_threshold=0.5))
    ignoring = FILTER.accept(seen, thresholds(score_threshold=0.5, ignore_threshold=0.2))
    assert ignoring.target.crowd.tolist() == [False, False, True]
    np.testing.assert_array_equal(ignoring.target.masks[2], seen.target.masks[2] & ~plain.target.masks.any(axis=0))
    assert ignoring.scores == plain.scores and ignoring.rejected is None, "only objects count"
    assert len(FILTER.accept(seen, thresholds(score_threshold=0.5, ignore_threshold=0.35)).target) == 2


def test_a_half_seen_object_inside_a_sure_one_is_no_region() -> None:
    mask = np.zeros((2, *SIZE), dtype=bool)
    mask[0, :8], mask[1, :7] = True, True
    found = Instances.of(mask, np.array([0, 1]), np.array([0.9, 0.3]))
    kept = FILTER.accept(Prediction(target=found, score=0.6), thresholds(score_threshold=0.5, ignore_threshold=0.2))
    assert kept.target.crowd.tolist() == [False]

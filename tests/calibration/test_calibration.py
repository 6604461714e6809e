"""The filter whose threshold was chosen on dev."""

import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.calibration.calibration import CalibratedFilter, Calibration, Judged, calibrate, passed
from datasetdm.calibration.judges import ObjectJudge
from datasetdm.filters.instance import InstanceFilter

CATEGORIES = (Category(id=7, name="cat"), Category(id=9, name="dog"))
JUDGE, PLAIN = ObjectJudge(CATEGORIES), InstanceFilter(config.InstanceAnnotation(), CATEGORIES)


def images(count: int, seed: int) -> list[Judged]:
    """Two objects in each, of which the decoder finds both; cats are labelled far better than their scores say."""
    rng, made = np.random.default_rng(seed), []
    for _ in range(count):
        truth = np.zeros((2, 16, 24), dtype=bool)
        truth[0, 2:8, 2:8], truth[1, 2:8, 14:20] = True, True
        scores = rng.uniform(0.1, 0.9, 2)
        labels = np.array([0, 1])
        right = rng.random(2) < np.array([0.5 + 0.5 * scores[0], scores[1] ** 2])
        masks = truth & right[:, None, None]
        masks[~right, 10:14, 2:8] = True
        order = np.argsort(-scores)
        found = Instances.of(masks[order], labels[order], scores[order])
        prediction = Prediction(target=found, score=float(scores.mean()))
        made.append(Judged(prediction=prediction, truth=Instances.of(truth, labels), asked={}))
    return made


def precision_of(label_filter, settings, count: int = 3000) -> float:
    outcome = passed(label_filter, JUDGE, images(count, seed=99), settings)
    return 1 - float(np.mean([loss for loss, _ in outcome]))


def test_the_promise_holds_on_other_images() -> None:
    settings = config.Filter(target_precision=0.8, min_area=0.0)
    found = calibrate(JUDGE, PLAIN, images(400, seed=0), settings, seed=0)
    assert found.chosen and found.chosen.kept and found.fitted + found.tested == 400
    assert found.curve.shifts[0] > found.curve.shifts[1], "cats are better than their scores"
    label_filter = CalibratedFilter(PLAIN, JUDGE, found.curve, found.chosen.threshold)
    assert precision_of(label_filter, settings) >= 0.8
    everything = config.Filter(score_threshold=0.0, min_area=0.0)
    assert precision_of(PLAIN, everything) < 0.8


def test_manifests_get_the_confidence() -> None:
    settings = config.Filter(target_precision=0.8, min_area=0.0)
    found = calibrate(JUDGE, PLAIN, images(300, seed=0), settings, seed=0)
    label_filter = CalibratedFilter(PLAIN, JUDGE, found.curve, 0.0)
    image = images(1, seed=5)[0]
    expected = found.curve.of(JUDGE.parts(image.prediction))
    accepted = label_filter.accept(image.prediction, settings)
    assert accepted.scores["confidence"] == pytest.approx(expected.mean())
    assert accepted.target.scores.tolist() == pytest.approx(sorted(expected, reverse=True))


def test_what_nobody_can_keep_is_not_promised() -> None:
    settings = config.Filter(target_precision=0.97, min_area=0.0)
    assert calibrate(JUDGE, PLAIN, images(300, seed=0), settings, seed=0).chosen is None


def test_the_whole_filter_is_judged() -> None:
    """With the number of objects known, the same dev images allow a looser threshold or more precision."""
    settings = config.Filter(target_precision=0.7, min_area=0.0, require_prompted=True)
    asked = [Judged(prediction=i.prediction, truth=i.truth, asked={0: 1, 1: 1}) for i in images(400, seed=0)]
    found = calibrate(JUDGE, PLAIN, asked, settings, seed=0)
    assert all(trial.parts == 2 * trial.images for trial in found.trials), "both objects, or the image is rejected"


def test_files_hold_everything() -> None:
    found = calibrate(JUDGE, PLAIN, images(200, seed=0), config.Filter(target_precision=0.7), seed=0)
    assert Calibration.from_json(found.to_json()) == found


def test_another_models_scores_are_left_alone() -> None:
    found = images(1, seed=0)[0].prediction.target
    settings = config.Filter(target_precision=0.8, min_area=0.0)
    calibrated = CalibratedFilter(
        PLAIN, JUDGE, calibrate(JUDGE, PLAIN, images(60, seed=0), settings, seed=0).curve, 0.9
    )
    same = PLAIN.filter_pseudo_labels(found, 0.2, settings)
    again = calibrated.filter_pseudo_labels(found, 0.2, settings)
    np.testing.assert_array_equal(same.target.scores, again.target.scores)

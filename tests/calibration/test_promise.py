"""Thresholds that are chosen on a few images keep the promise on all others, as often as they say."""

import numpy as np
import pytest

from datasetdm.calibration.confidence import fit_confidence
from datasetdm.calibration.judges import Parts
from datasetdm.calibration.promise import GRID, p_value, starts, try_thresholds


def test_a_curve_is_found_again_and_rare_categories_stay_with_the_others() -> None:
    rng = np.random.default_rng(0)
    odds, labels = rng.normal(0, 2, 4000), rng.choice(3, 4000, p=[0.6, 0.399, 0.001])
    scores = 1 / (1 + np.exp(-odds))
    right = rng.random(4000) < 1 / (1 + np.exp(-(1.5 * odds + np.array([1.0, -1.0, -4.0])[labels])))
    curve = fit_confidence(Parts(scores=scores, labels=labels), right.astype(float))
    assert curve.slope == pytest.approx(1.5, abs=0.15)
    assert curve.shifts[0] - curve.shifts[1] == pytest.approx(2, abs=0.3)
    assert curve.shifts[2] > -2.5
    unseen = curve.of(Parts(scores=np.array([0.5]), labels=np.array([77])))
    assert 0 < unseen[0] < 1


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_a_curve_stays_finite_when_all_parts_are_alike(right: float) -> None:
    parts = Parts(scores=np.linspace(0, 1, 20), labels=np.zeros(20, dtype=int))
    confidences = fit_confidence(parts, np.full(20, right)).of(parts)
    assert np.isfinite(confidences).all() and (np.diff(confidences) >= -1e-12).all()
    assert (confidences.mean() > 0.5) == bool(right)


def test_nothing_to_fit_to() -> None:
    curve = fit_confidence(Parts(scores=np.zeros(0), labels=np.zeros(0, dtype=int)), np.zeros(0))
    assert curve.of(Parts(scores=np.array([0.5]), labels=np.array([0])))[0] == pytest.approx(0.5)


def test_p_values() -> None:
    assert p_value(np.zeros(0), 0.1) == 1
    assert p_value(np.zeros(30), 0.1) == pytest.approx(0.9**30)
    assert p_value(np.full(30, 0.2), 0.1) == 1
    assert p_value(np.zeros(60), 0.1) < p_value(np.repeat([0.0, 0.5], [59, 1]), 0.1) < p_value(np.ones(60), 0.1)


@pytest.mark.parametrize("precision", [0.99, 0.9, 0.5, 0.03])
def test_chains_begin_on_the_grid(precision: float) -> None:
    assert all(start in GRID for start in starts(precision))
    assert starts(precision) == sorted(starts(precision), reverse=True)


def world(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each image its confidence, and the share of wrong labels, which is a little lower than that says."""
    confidence = rng.beta(4, 1.2, count)
    wrong = rng.binomial(2, 0.8 * (1 - confidence)) / 2
    return confidence, wrong


def chosen(rng: np.random.Generator, precision: float, sure: float, count: int) -> float | None:
    confidence, wrong = world(rng, count)

    def pass_at(threshold: float) -> list[tuple[float, int]]:
        return [(float(loss), 2) for loss in wrong[confidence >= threshold]]

    kept = [trial for trial in try_thresholds(pass_at, precision, sure) if trial.kept]
    return min((trial.threshold for trial in kept), default=None)


@pytest.mark.parametrize(("precision", "sure", "count"), [(0.8, 0.9, 150), (0.9, 0.8, 400), (0.7, 0.9, 60)])
def test_promises_are_kept_as_often_as_promised(precision: float, sure: float, count: int) -> None:
    rng = np.random.default_rng(1)
    confidence, wrong = world(rng, 200_000)
    made = [chosen(rng, precision, sure, count) for _ in range(300)]
    thresholds = [threshold for threshold in made if threshold is not None]
    assert len(thresholds) > 60, "the test is about promises that are made"
    broken = sum(1 - wrong[confidence >= threshold].mean() < precision for threshold in thresholds)
    assert broken / len(made) <= 1 - sure

import math

import numpy as np
import pytest

from benchmarks.backbone.figures import (
    Probe,
    agreement,
    best_threshold,
    count_labels,
    count_rates,
    found_rates,
    frechet_distance,
    gaussian_distance,
    manifold_figures,
    psnr,
    unasked_objects,
)


def test_distance_of_gaussians_with_the_same_covariance_is_that_of_their_means() -> None:
    covariance = np.array([[2.0, 1.0], [1.0, 3.0]])
    assert gaussian_distance(np.zeros(2), covariance, np.array([3.0, 4.0]), covariance) == pytest.approx(25)


def test_distance_of_gaussians_along_the_axes_is_that_of_their_deviations() -> None:
    distance = gaussian_distance(np.zeros(3), np.diag([1.0, 4.0, 9.0]), np.zeros(3), np.diag([4.0, 4.0, 0.0]))
    assert distance == pytest.approx((1 - 2) ** 2 + 0 + 3**2)


def test_distance_of_gaussians_that_do_not_commute() -> None:
    # In two dimensions the trace of the root of M is sqrt(trace M + 2 sqrt(det M)).
    first, second = np.array([[2.0, 1.0], [1.0, 1.0]]), np.diag([1.0, 4.0])
    root = math.sqrt(np.trace(first @ second) + 2 * math.sqrt(np.linalg.det(first @ second)))
    distance = gaussian_distance(np.zeros(2), first, np.zeros(2), second)
    assert distance == pytest.approx(np.trace(first) + np.trace(second) - 2 * root)


def test_distance_of_samples_that_are_shifted() -> None:
    samples = np.random.default_rng(0).normal(size=(50, 4))
    assert frechet_distance(samples, samples) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(samples, samples + 2) == pytest.approx(16)


def test_fewer_samples_than_features() -> None:
    samples = np.random.default_rng(0).normal(size=(5, 20))
    assert frechet_distance(samples, samples + 1) == pytest.approx(20, abs=1e-4)


def test_coverage_by_hand() -> None:
    real = np.array([[0.0], [1.0], [2.0], [3.0]])  # every ball has the radius 1, its border not included
    figures = manifold_figures(real, np.array([[0.5], [9.0]]), neighbours=1)
    assert figures == {"coverage": 0.5, "density": 1.0, "precision": 0.5}


def test_coverage_of_itself_and_of_one_mode_of_two() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 100
    real = np.concatenate([left, right])
    assert manifold_figures(real, real)["coverage"] == 1
    collapsed = manifold_figures(real, left)
    assert collapsed["coverage"] == 0.5 and collapsed["precision"] == 1


ASKED = np.array([[1, 2, 0], [0, 3, 0], [1, 0, 0]])
SEEN = np.array([[1, 1, 2], [0, 3, 0], [0, 0, 1]])


def test_labels_become_counts() -> None:
    assert count_labels([np.array([2, 0, 2]), np.array([], dtype=np.int64)], 3).tolist() == [[1, 0, 2], [0, 0, 0]]


def test_categories_found() -> None:
    overall, each = found_rates(ASKED, SEEN)
    assert overall == pytest.approx(3 / 4)
    assert each[:2].tolist() == [0.5, 1.0] and math.isnan(each[2])


def test_numbers_right() -> None:
    overall, each = count_rates(ASKED, SEEN, (1, 2, 3, 4))
    assert overall == pytest.approx(2 / 4)
    assert each[:3].tolist() == [0.5, 0.0, 1.0] and math.isnan(each[3])


def test_what_nobody_asked_for() -> None:
    assert unasked_objects(ASKED, SEEN) == pytest.approx(3 / 3)


def test_agreement_counts_misses_and_false_alarms() -> None:
    # Asked or seen: three categories of the first image, one of the second, two of the third; two of the six agree.
    assert agreement(ASKED, SEEN) == pytest.approx(2 / 6)


def test_threshold_lies_between_right_and_wrong_scores() -> None:
    asked = np.array([[1, 0], [0, 1]])
    found = [(np.array([0, 1]), np.array([0.8, 0.4])), (np.array([1, 1]), np.array([0.7, 0.3]))]
    assert 0.4 < best_threshold(asked, found) <= 0.7


def test_psnr_of_a_constant_error() -> None:
    image = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(image, image + 5) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(image, image) == math.inf


def test_probe_reads_separable_classes_of_unequal_size() -> None:
    rng = np.random.default_rng(0)
    names = ["day"] * 90 + ["night"] * 10
    features = rng.normal(scale=0.3, size=(100, 5))
    features[90:, 2] += 2
    probe = Probe.fit(features, names)
    assert probe.classes == ("day", "night")
    assert np.mean(np.array(probe.read(features)) == np.array(names)) == 1

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.baselines import RowPrior
from datasetdm.evaluation.depth import METRICS, DepthEvaluator, crop_mask, depth_metrics


def depth_map(depth: object) -> DepthMap:
    values = np.array(depth, dtype=np.float32)
    return DepthMap(depth=values, valid_mask=values > 0)


def evaluator(**values: object) -> DepthEvaluator:
    return DepthEvaluator(**{"min_depth": 1e-3, "max_depth": 10.0, "crop": "none", **values})  # type: ignore[arg-type]


def test_a_hand_made_example() -> None:
    metrics = depth_metrics(np.array([1.0, 2.0, 4.0, 8.0]), np.array([1.0, 3.0, 4.0, 4.0]))
    assert metrics["abs_rel"] == pytest.approx((0 + 0.5 + 0 + 0.5) / 4)
    assert metrics["rmse"] == pytest.approx(math.sqrt((0 + 1 + 0 + 16) / 4))
    assert (metrics["delta1"], metrics["delta2"], metrics["delta3"]) == (0.5, 0.75, 0.75)
    assert metrics["log10"] == pytest.approx((math.log10(1.5) + math.log10(2)) / 4)
    logs = np.array([0, math.log(1.5), 0, -math.log(2)])
    assert metrics["si_log"] == pytest.approx(100 * math.sqrt((logs**2).mean() - logs.mean() ** 2))


@given(st.integers(0, 10_000), st.floats(0.2, 5))
@settings(max_examples=30, deadline=None)
def test_bounds_and_the_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    truth, guess = rng.uniform(0.5, 10, (2, 20))
    metrics = depth_metrics(truth, guess)
    assert 0 <= metrics["delta1"] <= metrics["delta2"] <= metrics["delta3"] <= 1
    scaled = depth_metrics(scale * truth, scale * guess)
    for name in set(METRICS) - {"rmse"}:
        assert scaled[name] == pytest.approx(metrics[name])
    assert scaled["rmse"] == pytest.approx(scale * metrics["rmse"])
    assert depth_metrics(truth, scale * guess)["si_log"] == pytest.approx(metrics["si_log"])
    perfect = depth_metrics(truth, truth)
    assert perfect == {**dict.fromkeys(METRICS, 0.0), "delta1": 1.0, "delta2": 1.0, "delta3": 1.0}


def test_images_count_the_same_however_many_pixels_they_know() -> None:
    judge = evaluator()
    judge.add(depth_map([[2, 2, 2, 2]]), depth_map([[2, 2, 2, 2]]))
    judge.add(depth_map([[2, 0, 0, 0]]), depth_map([[4, 1, 1, 1]]))
    judge.add(depth_map([[0, 0, 0, 0]]), depth_map([[4, 1, 1, 1]]))  # says nothing
    assert judge.compute()["abs_rel"] == pytest.approx(0.5)


def test_only_depths_between_the_bounds_count() -> None:
    judge = evaluator(min_depth=1, max_depth=10)
    judge.add(depth_map([[0.5, 2, 11]]), depth_map([[9, 2, 1]]))
    assert judge.compute()["abs_rel"] == 0
    judge.add(depth_map([[10, 1]]), depth_map([[80, 0.1]]))  # predictions are brought between them
    assert judge.compute()["abs_rel"] == 0


def test_gaps_do_not_pay() -> None:
    truth = depth_map([[4, 4]])
    for gap in (0, np.nan, np.inf, -np.inf):
        judge = evaluator()
        judge.add(truth, DepthMap(depth=np.array([[4, gap]], np.float32), valid_mask=np.array([[True, gap != 0]])))
        metrics = judge.compute()
        assert metrics["abs_rel"] == pytest.approx(0.5, abs=1e-3) and metrics["delta1"] == 0.5
        assert all(math.isfinite(value) for value in metrics.values())


def test_nothing_to_judge_and_other_sizes() -> None:
    metrics = evaluator().compute()
    assert set(metrics) == set(METRICS) and all(math.isnan(value) for value in metrics.values())
    with pytest.raises(ValueError, match="cannot be judged"):
        evaluator().add(depth_map([[1, 2]]), depth_map([[1]]))


def corners(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def test_crops_are_the_published_ones() -> None:
    assert corners(crop_mask((480, 640), "eigen")) == (45, 471, 41, 601)
    assert corners(crop_mask((375, 1242), "garg")) == (153, 371, 44, 1197)
    assert corners(crop_mask((375, 1242), "eigen")) == (124, 342, 44, 1197)
    assert corners(crop_mask((128, 128), "garg")) == (52, 126, 4, 123)
    assert crop_mask((7, 5), "none").all()


def test_pixels_outside_the_crop_do_not_count() -> None:
    truth = depth_map(np.full((375, 1242), 5.0))
    outside = np.full((375, 1242), 9.0)
    outside[153:371, 44:1197] = 5
    judge, whole = evaluator(max_depth=80.0, crop="garg"), evaluator(max_depth=80.0)
    judge.add(truth, depth_map(outside))
    whole.add(truth, depth_map(outside))
    assert judge.compute()["abs_rel"] == 0
    assert whole.compute()["abs_rel"] > 0.1


def test_row_prior_knows_rows_and_nothing_else() -> None:
    rows = np.linspace(9, 1, 32, dtype=np.float32)
    maps = [depth_map(np.tile(rows[:, None], (1, 5)) + change) for change in (-0.5, 0.5)]
    prior = RowPrior(min_depth=1e-3, max_depth=10).fit(maps)
    predicted = prior.predict((32, 7))
    np.testing.assert_allclose(predicted.depth, np.tile(rows[:, None], (1, 7)), atol=0.01)
    np.testing.assert_allclose(prior.predict((96, 2)).depth.mean(), rows.mean(), rtol=0.02)
    judge = evaluator()
    judge.add(depth_map(np.tile(rows[:, None], (1, 7))), predicted)
    assert judge.compute()["abs_rel"] < 0.01


def test_row_prior_with_unknown_rows_and_mixed_sizes() -> None:
    sparse = np.zeros((300, 4), np.float32)
    sparse[200, 1], sparse[299, 2], sparse[100, 0] = 6, 2, 50  # the last lies beyond the bound
    prior = RowPrior(min_depth=1e-3, max_depth=10).fit([depth_map(sparse), depth_map(np.zeros((8, 8)))])
    column = prior.predict((300, 1)).depth[:, 0]
    assert column[0] == column[199] == 6 and column[299] == 2
    assert (np.diff(column) <= 0).all()
    with pytest.raises(DatasetDMError, match="no depth between"):
        RowPrior(min_depth=20, max_depth=30).fit([depth_map(sparse)])

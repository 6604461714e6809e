"""The loss curve that every training writes."""

import csv
from pathlib import Path

import numpy as np
import pytest

from datasetdm.downstream.curve import LossCurve
from datasetdm.errors import DatasetDMError


def row(iteration: int, loss: float) -> dict[str, float]:
    return {"iteration": iteration, "learning_rate": 1e-5 / iteration, "loss": loss, "loss_mask": loss / 3}


def test_a_long_training_has_fifty_rows_and_a_short_one_a_row_per_iteration() -> None:
    assert sum(map(LossCurve(1000).is_due, range(1, 1001))) == 50
    assert all(map(LossCurve(7).is_due, range(1, 8)))
    assert LossCurve(1010).is_due(1010)  # the last row, however short its part


def test_the_file_has_every_digit(tmp_path: Path) -> None:
    curve, rng = LossCurve(5), np.random.default_rng(0)
    curve.begin(1, [row(1, 0.1 + 0.2)])
    for iteration in range(2, 6):
        curve.record(row(iteration, float(rng.lognormal(sigma=20))))
    curve.save(tmp_path / "curves.csv")
    with (tmp_path / "expected.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(curve.rows[0]))
        writer.writeheader()
        writer.writerows(curve.rows)
    assert (tmp_path / "curves.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_training(loss: float) -> None:
    curve = LossCurve(5)
    curve.begin()
    with pytest.raises(DatasetDMError, match=r"after 3 iterations\. Lower downstream\.learning_rate"):
        curve.record(row(3, loss))

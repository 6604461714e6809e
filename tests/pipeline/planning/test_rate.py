"""A rate is per piece of work, however many pieces a step does."""

import time

import pytest
import torch

from datasetdm.pipeline.planning import rate as rate_module
from datasetdm.pipeline.planning.rate import measure, measure_host

CPU = torch.device("cpu")


def test_pieces_share_what_a_step_takes() -> None:
    weights = torch.randn(16, 16)
    calls = []

    def step() -> int:
        calls.append(1)
        time.sleep(0.02)
        weights @ weights
        return 4

    rate = measure(step, CPU, budget=60, most=3)
    assert len(calls) == 4  # one to count, three to time
    assert rate.seconds >= 0.005 > rate.processor
    assert rate.flops == 2 * 16**3 / 4 and rate.launches == 1 / 4 and rate.memory == 2 * weights.nbytes


@pytest.mark.parametrize(("slow", "times"), [(-1.0, 1), (60.0, 2)])
def test_a_slow_step_is_not_done_again(monkeypatch: pytest.MonkeyPatch, slow: float, times: int) -> None:
    monkeypatch.setattr(rate_module, "SLOW", slow)
    calls = []

    def step() -> int:
        calls.append(1)
        time.sleep(0.05)
        return 1

    assert measure(step, CPU, budget=0.01).seconds >= 0.05
    assert len(calls) == times


def test_work_of_the_processor_counts_as_such() -> None:
    rate = measure_host(lambda: 10, budget=0.01)
    assert rate.host == rate.seconds and rate.flops == 0


@pytest.mark.parametrize("done", [0])
def test_a_step_that_does_nothing_has_a_rate(done: int) -> None:
    assert measure_host(lambda: done, budget=0.001).seconds >= 0

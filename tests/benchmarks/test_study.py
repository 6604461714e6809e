"""A study in several sittings: which seeds and arms each of them runs."""

import multiprocessing
from pathlib import Path

import pytest

from benchmarks.study import file_name, sittings
from datasetdm.arms import P_DECODER
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, open_context

RUNS = Path("runs")


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.chdir(Path(__file__).parents[2])
    context = open_context("coco", study=True)
    return context.with_settings("experiment", arms=("real", "both", "oracle", "self_training"), p_decoder=True)


def rows(parts: list[Context]) -> list[tuple[tuple[int, ...], tuple[str, ...], bool]]:
    return [(one.seeds, one.settings.experiment.arms, one.settings.experiment.p_decoder) for one in parts]


def test_seeds_that_lack_the_same_arms_run_together(context: Context) -> None:
    every = context.settings.experiment.arms
    (whole,) = sittings(context, [0, 1], None, set(), RUNS)
    assert rows([whole]) == [((0, 1), every, True)] and file_name(whole, context) == "seeds_0_1.json"
    here, there = multiprocessing.Pipe()
    here.send(whole)  # as to the processes that share the work
    assert there.recv() == whole
    measured = {("real", 0), ("self_training", 0), (P_DECODER, 0), *((arm, 1) for arm in (*every, P_DECODER))}
    some, others = sittings(context, [0, 1, 2, 3], None, measured, RUNS)
    assert rows([some, others]) == [((0,), ("both", "oracle"), False), ((2, 3), every, True)]
    assert file_name(some, context) == "seeds_0_both_oracle.json"
    assert sittings(context, [1], None, measured, RUNS) == []


def test_arms_can_be_chosen(context: Context) -> None:
    (chosen,) = sittings(context, [4], ["oracle", "real"], set(), RUNS)
    assert rows([chosen]) == [((4,), ("oracle", "real"), True)]
    assert chosen.settings.downstream == context.settings.downstream


def test_arms_that_cannot_run_are_refused(context: Context) -> None:
    with pytest.raises(DatasetDMError, match=r"no arm oracel, pseudo: add .* choose of real, both, oracle, self_train"):
        sittings(context, [0], ["oracel", "pseudo"], set(), RUNS)
    with pytest.raises(
        DatasetDMError, match=r"teacher of self_training is the model of real: .* seed 0 in one sitting"
    ):
        sittings(context, [0], ["self_training"], set(), RUNS)

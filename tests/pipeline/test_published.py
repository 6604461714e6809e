"""What is up to date is not published again, and everything else is."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine import published
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Stage, run_stage
from datasetdm.pipeline.paths import Paths

PARAMS = Path(__file__).parents[2] / "params.yaml"


class Chain:
    """A stage that copies its input, and counts how often it publishes."""

    def __init__(self, root: Path) -> None:
        self.source, self.output = root / "in", root / "out"
        self.unit = root / "unit"
        self.context = Context("coco", load_params(PARAMS), Paths(root / "data", "coco"))
        self.published = 0
        self.source.mkdir()
        (self.source / "a.txt").write_text("1")
        common = {"description": "", "finish": self._finish}
        first = Stage(
            name="first", asset="first", upstream=(), parameters=(), output=lambda context: self.source, **common
        )
        self.stage = Stage(
            name="second",
            asset="second",
            upstream=(first,),
            parameters=("seeds", "downstream.arms"),
            run_unit=lambda context, key: self.unit.touch(),
            units=lambda context: {"0": [self.unit]},
            output=lambda context: self.output,
            **common,
        )

    def _finish(self, context: Context) -> StageResult:
        self.published += 1
        self.output.mkdir(exist_ok=True)
        (self.output / "a.txt").write_text((self.source / "a.txt").read_text())
        return StageResult(metrics={"times": float(self.published), "nothing": float("nan")})

    def run(self) -> StageResult:
        return run_stage(self.stage, self.context)


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow").mkdir()
    return Chain(tmp_path)


def test_what_is_up_to_date_stays_and_tells_the_same(chain: Chain) -> None:
    first, second = chain.run(), chain.run()
    assert chain.published == 1
    assert second.metrics["times"] == first.metrics["times"] == 1.0
    assert second.metrics["nothing"] != second.metrics["nothing"]


def change_settings(chain: Chain) -> None:
    chain.context = chain.context.with_downstream(arms=("real",))


def name_another_unit(chain: Chain) -> None:
    chain.unit = chain.unit.with_name("another")  # as with other weights of the backbone at the same path
    chain.unit.touch()


def remake_unit(chain: Chain) -> None:
    os.utime(chain.unit, ns=(1, 1))  # by another benchmark that shares it, or by `diagnose`


CHANGES: dict[str, Callable[[Chain], object]] = {
    "input": lambda chain: (chain.source / "a.txt").write_text("2"),
    "output": lambda chain: (chain.output / "a.txt").write_text("edited"),
    "output is gone": lambda chain: chain.output.rename(chain.output.with_name("away")),
    "settings": change_settings,
    "missing unit": lambda chain: chain.unit.unlink(),
    "other unit": name_another_unit,
    "remade unit": remake_unit,
    "what was told is damaged": lambda chain: chain.context.paths.told("second").write_text("{"),
    "what was told is no text": lambda chain: chain.context.paths.told("second").write_bytes(b"\xff"),
    "what was told is empty": lambda chain: chain.context.paths.told("second").write_text(""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_is_published_anew(chain: Chain, change: Callable[[Chain], object]) -> None:
    chain.run()
    change(chain)
    chain.run()
    assert chain.published == 2
    assert (chain.output / "a.txt").read_text() == (chain.source / "a.txt").read_text()


def test_another_store_is_told_too(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if an earlier stage has been logged there by then."""
    for identity in ("1 2026", "1 2027", None, "1 2027"):
        monkeypatch.setattr(published, "experiment_identity", lambda name, identity=identity: identity)
        chain.run()
    assert chain.published == 4


def test_an_output_counts_as_made_of_what_was_there_before(chain: Chain) -> None:
    """What changes while a stage publishes is not taken for what it has read."""

    def finish(context: Context) -> StageResult:
        result = chain._finish(context)
        (chain.source / "a.txt").write_text("2")
        return result

    slow, good = replace(chain.stage, finish=finish), chain.stage
    chain.stage = slow
    chain.run()
    chain.stage = good
    chain.run()
    assert chain.published == 2 and (chain.output / "a.txt").read_text() == "2"


def test_nothing_is_published_out_of_missing_units(chain: Chain) -> None:
    chain.stage = replace(chain.stage, run_unit=lambda context, key: None)
    with pytest.raises(DatasetDMError, match="1 of 1 units are missing"):
        chain.run()
    assert chain.published == 0


def test_a_failed_publication_is_tried_again(chain: Chain) -> None:
    def fail(context: Context) -> StageResult:
        chain._finish(context)
        raise OSError("the tracking server went away")

    good, chain.stage = chain.stage, replace(chain.stage, finish=fail)
    with pytest.raises(OSError, match="went away"):
        chain.run()
    chain.stage = good
    chain.run()
    assert chain.published == 2


def test_a_stage_without_units_reads_what_is_not_ours(chain: Chain) -> None:
    (first,) = chain.stage.upstream
    for _ in range(2):
        run_stage(first, chain.context)
    assert chain.published == 2

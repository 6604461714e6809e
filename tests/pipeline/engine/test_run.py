"""A stage plans once, makes what is missing, and publishes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.engine.plan import Unit
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.pipeline.engine.units import make_unit


def write(folder: Path) -> None:
    (folder / "a.txt").write_text("a")


@pytest.fixture
def stage(tmp_path: Path) -> Stage[Any]:
    """Three units, published nowhere."""
    return Stage(
        name="work",
        asset="work",
        description="",
        upstream=(),
        parameters=(),
        code_version="1",
        finish=lambda project, plan: StageResult(metrics={"units": float(len(plan))}),
        output=lambda project: tmp_path,
        units=lambda project: [Unit(key=key, folders=(tmp_path / key,)) for key in ("0", "1", "2")],
        make=lambda project, unit: make_unit(unit.folder, write),
    )


def test_a_run_plans_once_and_makes_what_is_missing(stage: Stage[Any], toy: Any, tmp_path: Path) -> None:
    planned: list[int] = []
    made: list[str] = []

    def units(project: Any) -> Any:
        planned.append(1)
        return stage.units(project)

    def make(project: Any, unit: Unit) -> None:
        made.append(unit.key)
        stage.make(project, unit)

    counting = replace(stage, units=units, make=make)
    make_unit(tmp_path / "1", write)
    assert run_stage(counting, toy).metrics == {"units": 3.0}
    assert made == ["0", "2"] and planned == [1]


def test_busy_units_are_left_to_the_end(stage: Stage[Any], toy: Any, tmp_path: Path) -> None:
    made: list[str] = []
    other = FileLock(tmp_path / "1.lock")
    other.acquire()

    def make(project: Any, unit: Unit) -> None:
        make_unit(unit.folder, lambda folder: made.append(unit.key))
        if unit.key == "2":
            other.release()  # the other process was killed

    run_stage(replace(stage, make=make), toy)
    assert made == ["0", "2", "1"]


def test_nothing_is_made_if_its_results_could_not_be_recorded(stage: Stage[Any], toy: Any, tmp_path: Path) -> None:
    toy.log_answers = False
    with pytest.raises(DatasetDMError, match="does not answer"):
        run_stage(stage, toy)
    assert not (tmp_path / "0").exists()


def test_a_changed_code_version_names_other_units(stage: Stage[Any], toy: Any) -> None:
    changed = replace(stage, code_version="2")
    assert stage.folder(toy, "a") == stage.folder(toy, "a") != changed.folder(toy, "a")

"""A stage plans once, makes what is missing, and publishes."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.engine.pace import finishing_pace, note_pace, pace
from datasetdm.pipeline.engine.plan import Unit
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.run import check_ready, preview_stage, run_stage
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.utils.leases import lease


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


def test_a_run_announces_its_parts_and_how_long_the_last_one_took(
    stage: Stage[Any], toy: Any, tmp_path: Path, caplog
) -> None:
    caplog.set_level("INFO", "datasetdm")
    (tmp_path / "out").mkdir()
    stage = replace(stage, output=lambda project: tmp_path / "out")
    assert preview_stage(stage, toy) == "3 of 3 parts to make"
    assert not list(tmp_path.glob("[012]"))
    make_unit(tmp_path / "1", write)
    note_pace(stage, toy, 240.0)
    assert preview_stage(stage, toy) == "2 of 3 parts to make; the last one took 4 min"
    run_stage(stage, toy)
    assert "work toy: 2 of 3 parts to make; the last one took 4 min" in caplog.messages
    assert 0 <= pace(stage, toy) < 60  # as measured now
    assert (toy.work / f"{stage.name}_toy.finish").exists() and 0 <= finishing_pace(stage, toy) < 60
    assert preview_stage(stage, toy) == "up to date"


def test_a_note_of_the_pace_that_is_not_whole_does_not_count(stage: Stage[Any], toy: Any) -> None:
    note_pace(stage, toy, 240.0)
    (note,) = toy.work.glob("*.pace")
    assert pace(stage, toy) == 240.0
    note.write_text(note.read_text()[:2])
    assert pace(stage, toy) == 0.0


def test_what_version_control_brought_back_is_made_whole_before_the_stage_is_planned(
    stage: Stage[Any], toy: Any, tmp_path: Path
) -> None:
    done: list[str] = []
    outputs = {name: tmp_path / name for name in ("first", "own", "never made")}
    for name in ("first", "own"):
        outputs[name].mkdir()

    def step(name: str, **changes: Any) -> Stage[Any]:
        return replace(
            stage,
            name=name.replace(" ", "_"),
            output=lambda project: outputs[name],
            is_whole=lambda output: output.name in done,
            restore=lambda output: done.append(output.name),
            **changes,
        )

    def units(project: Any) -> Any:
        done.append("planned")
        return stage.units(project)

    run_stage(step("own", upstream=(step("first"), step("never made")), units=units), toy)
    assert done == ["first", "own", "planned"]


def test_a_preview_says_why_a_stage_cannot_be_planned(stage: Stage[Any], toy: Any) -> None:
    def units(project: Any) -> Any:
        raise DatasetDMError("data/real is missing. Make it with `ingest`.")

    assert preview_stage(replace(stage, units=units), toy) == (
        "cannot be planned yet: data/real is missing. Make it with `ingest`."
    )


def test_busy_units_are_left_to_the_end(stage: Stage[Any], toy: Any, tmp_path: Path) -> None:
    made: list[str] = []
    other = ExitStack()
    other.enter_context(lease(tmp_path / "1.lease"))

    def make(project: Any, unit: Unit) -> None:
        make_unit(unit.folder, lambda folder: made.append(unit.key))
        if unit.key == "2":
            other.close()  # the other process was killed

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


def test_all_that_the_machine_lacks_is_named_before_any_work(stage: Stage[Any], toy: Any, tmp_path: Path) -> None:
    def lacking(what: str) -> Stage[Any]:
        def check(project: Any) -> None:
            raise DatasetDMError(f"{what} is not installed")

        return replace(stage, check_ready=check)

    check_ready([stage], toy)
    with pytest.raises(DatasetDMError) as caught:
        check_ready([lacking("this"), stage, lacking("that"), lacking("this")], toy)
    assert str(caught.value) == "this is not installed\nthat is not installed"
    with pytest.raises(DatasetDMError, match="this is not"):
        run_stage(lacking("this"), toy)
    assert not [key for key in ("0", "1", "2") if (tmp_path / key).exists()]

"""`datasetdm prune`: what the settings need stays, what they do not goes, and nothing goes unasked."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.engine import removal
from datasetdm.pipeline.engine.plan import Unit
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.pipeline.engine.units import is_finished, make_unit
from datasetdm.pipeline.paths import settings_file
from datasetdm.pipeline.pruning import needed, prune
from datasetdm.utils.leases import lease

INPUT = Path("data/input")


def _units(context):
    if not INPUT.exists():
        raise DatasetDMError("data/input is missing.")
    return [
        Unit(key=str(seed), folders=(STAGE.folder(context, seed),), payload=seed) for seed in context.settings.seeds
    ]


def _paint(context, seed):
    return context.paths.work("paint") / f"{seed:016x}"


def _make(context, unit):
    make_unit(_paint(context, unit.payload), lambda folder: (folder / "colours").write_text("y" * 500))
    make_unit(unit.folder, lambda folder: (folder / "numbers").write_text("x" * 1000))


def _finish(context, plan):
    output = STAGE.output(context)
    output.mkdir(parents=True, exist_ok=True)
    for unit in plan:
        (output / unit.key).unlink(missing_ok=True)
        os.link(unit.folder / "numbers", output / unit.key)
    return StageResult()


STAGE = Stage(
    name="count",
    asset="counts",
    description="Counts.",
    upstream=(),
    parameters=("seeds",),
    code_version="1",
    units=_units,
    make=_make,
    finish=_finish,
    output=lambda context: Path("data/counts") / context.benchmark,
    further_work=("paint",),
    rests_on=lambda context, plan: [_paint(context, unit.payload) for unit in plan],
)


@pytest.fixture
def toy(project, edit, monkeypatch):
    """A project with a stage of one unit per seed; `run(seeds)` runs it, and the last seeds are the settings."""
    monkeypatch.setattr(needed, "STAGES", {"count": STAGE})
    monkeypatch.setattr(prune, "History", lambda days: SimpleNamespace(unfinished=[]))
    project({"miniworld": {"num_train": 40, "num_val": 5}, "format": "coco", "root": "data/raw"})
    INPUT.mkdir(parents=True)

    def run(*seeds):
        edit("benchmarks.coco.seeds", list(seeds))
        run_stage(STAGE, open_context("coco"))
        return {seed: STAGE.folder(open_context("coco"), seed) for seed in seeds}

    return run


def find(**options):
    (found,) = prune.find(["work"], days=0, **options)
    return found


def tree():
    return sorted(str(path) for path in Path("data").rglob("*"))


def test_only_what_no_settings_name_goes_and_a_dry_run_changes_nothing(toy):
    old = toy(0, 1)[0]
    new = toy(1, 2)
    before = tree()
    found = find()
    assert tree() == before
    assert {item.name for item in found.items} == {str(old), "data/.work/paint/0000000000000000"}
    assert found.remove() == []
    assert not old.exists() and not old.with_suffix(".files").exists()
    assert all(map(is_finished, new.values())) and Path("data/.work/paint/0000000000000001").exists()
    assert not find().items


def test_a_file_that_is_published_too_frees_nothing(toy):
    old = toy(0)[0]
    (item,) = [item for item in _after(toy).items if item.name == str(old)]
    notes = sum(old.with_suffix(ending).stat().st_size for ending in (".files", ".seconds"))
    assert item.size == notes
    Path("data/counts/coco/0").unlink()
    (item,) = [item for item in find().items if item.name == str(old)]
    assert item.size == notes + 1000


def _after(toy):
    toy(1)
    return find()


def test_what_another_settings_file_names_stays(toy):
    old = toy(0)[0]
    shutil.copy("params.yaml", "other.yaml")
    toy(1)
    assert find().items
    assert not find(keep=[Path("other.yaml")]).items
    assert old.exists()


def test_what_a_running_dagster_run_has_begun_with_stays(toy, monkeypatch):
    toy(0)
    file = settings_file("abc")
    file.parent.mkdir(parents=True)
    file.write_text(open_context("coco").params.model_dump_json())
    toy(1)
    assert find().items
    monkeypatch.setattr(prune, "History", lambda days: SimpleNamespace(unfinished=["abc", "queued"]))
    assert not find().items


def test_what_cannot_be_planned_keeps_all_its_work(toy):
    toy(0)
    toy(1)
    INPUT.rmdir()
    found = find()
    assert not found.items
    assert any("count of coco cannot be planned: data/input is missing." in note for note in found.notes)


def test_a_benchmark_that_never_ran_keeps_nothing(toy, edit, monkeypatch):
    old = toy(0)[0]
    toy(1)
    monkeypatch.setattr(needed, "has_worked", lambda stage, context: False)
    INPUT.rmdir()
    assert str(old) in {item.name for item in find().items}


def test_while_something_is_being_made_nothing_is_pruned(toy):
    old = toy(0)[0]
    toy(1)
    found = find()
    with lease(old.with_suffix(".lease")):
        with pytest.raises(DatasetDMError, match="being made now"):
            find()
        assert found.remove() == [f"{old} stays: a process has begun to make it."]
    assert is_finished(old)


@pytest.mark.parametrize("at", range(4))
def test_a_prune_that_is_killed_does_no_harm(toy, monkeypatch, at):
    """It dies as it removes one of two units: nothing is half there, and the next one finishes the work."""
    toy(0)
    new = toy(1)[1]
    calls, rmtree = iter(range(10)), shutil.rmtree

    def killed(path, *arguments, **options):
        if next(calls) == at:
            raise KeyboardInterrupt
        rmtree(path, *arguments, **options)

    found = find()
    with monkeypatch.context() as patch:
        patch.setattr(removal.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            found.remove()
    assert is_finished(new)
    for folder in Path("data/.work/count").glob("?" * 16):
        assert (folder / "numbers").read_text() == "x" * 1000
    find().remove()
    assert not find().items
    assert {path.name for path in Path("data/.work/count").iterdir()} == {
        new.name,
        f"{new.name}.files",
        f"{new.name}.seconds",
    }
    toy(0, 1)  # what was removed is made again


def test_checkpoints_of_work_that_nobody_needs_go(toy):
    toy(1)
    begun = STAGE.folder(open_context("coco"), 7).with_suffix(".resume")
    begun.mkdir()
    (begun / "checkpoint").write_text("z" * 300)
    (item,) = find().items
    assert item.size == 300
    find().remove()
    assert not begun.exists()


def test_results_of_other_commands_stay_unless_they_are_asked_for(toy):
    toy(1)
    unit = Path("data/.work/diagnose/00000000000000aa")
    make_unit(unit, lambda folder: (folder / "figures").write_text("1"))
    found = find()
    assert not found.items and "diagnose (1)" in found.notes[0]
    (item,) = find(also=["diagnose"]).items
    assert item.name == str(unit)
    with pytest.raises(DatasetDMError, match="--also paint"):
        find(also=["paint"])

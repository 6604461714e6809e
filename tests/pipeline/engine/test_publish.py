"""What is up to date is not published again, and everything else is."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.publish import note_file, publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.engine.stage import Check, Stage


class Chain:
    """A stage that copies its input, and counts how often it publishes."""

    def __init__(self, root: Path, project: Any) -> None:
        self.source, self.output = root / "in", root / "out"
        self.unit = root / "unit"
        self.project = project
        self.published = 0
        self.source.mkdir()
        (self.source / "a.txt").write_text("1")
        common = {"description": "", "finish": self._finish, "code_version": "1"}
        first: Stage[Any] = Stage(
            name="first", asset="first", upstream=(), parameters=(), output=lambda project: self.source, **common
        )
        self.stage: Stage[Any] = Stage(
            name="second",
            asset="second",
            upstream=(first,),
            parameters=("size",),
            make=lambda project, unit: unit.folder.touch(),
            units=lambda project: [Unit(key="0", folders=(self.unit,))],
            output=lambda project: self.output,
            **common,
        )

    def _finish(self, project: Any, plan: Plan) -> StageResult:
        self.published += 1
        self.output.mkdir(exist_ok=True)
        (self.output / "a.txt").write_text((self.source / "a.txt").read_text())
        return StageResult(metrics={"times": float(self.published), "nothing": float("nan")})

    def run(self) -> StageResult:
        return run_stage(self.stage, self.project)


@pytest.fixture
def chain(tmp_path: Path, toy: Any) -> Chain:
    return Chain(tmp_path, toy)


def test_what_is_up_to_date_stays_and_is_reported_alike(chain: Chain) -> None:
    first, second = chain.run(), chain.run()
    assert chain.published == 1
    assert second.metrics["times"] == first.metrics["times"] == 1.0
    assert second.metrics["nothing"] != second.metrics["nothing"]


def change_code(chain: Chain) -> None:
    chain.stage = replace(chain.stage, code_version="2")


def name_another_unit(chain: Chain) -> None:
    chain.unit = chain.unit.with_name("another")  # as with other weights of the backbone at the same path
    chain.unit.touch()


def remake_unit(chain: Chain) -> None:
    os.utime(chain.unit, ns=(1, 1))  # by another benchmark that shares it, or by `diagnose`


CHANGES: dict[str, Callable[[Chain], object]] = {
    "input": lambda chain: (chain.source / "a.txt").write_text("2"),
    "output": lambda chain: (chain.output / "a.txt").write_text("edited"),
    "output is gone": lambda chain: chain.output.rename(chain.output.with_name("away")),
    "settings": lambda chain: chain.project.settings.update(size=2),
    "code": change_code,
    "experiment log": lambda chain: setattr(chain.project, "log", "2"),
    "missing unit": lambda chain: chain.unit.unlink(),
    "other unit": name_another_unit,
    "remade unit": remake_unit,
    "the note is damaged": lambda chain: note_file(chain.stage, chain.project).write_text("{"),
    "the note is no text": lambda chain: note_file(chain.stage, chain.project).write_bytes(b"\xff"),
    "the note is empty": lambda chain: note_file(chain.stage, chain.project).write_text(""),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_is_published_again(chain: Chain, change: Callable[[Chain], object]) -> None:
    chain.run()
    change(chain)
    chain.run()
    assert chain.published == 2
    assert (chain.output / "a.txt").read_text() == (chain.source / "a.txt").read_text()


def test_an_output_counts_as_made_of_what_was_there_before(chain: Chain) -> None:
    """What changes while a stage publishes is not taken for what it has read."""

    def finish(project: Any, plan: Plan) -> StageResult:
        result = chain._finish(project, plan)
        (chain.source / "a.txt").write_text("2")
        return result

    slow, good = replace(chain.stage, finish=finish), chain.stage
    chain.stage = slow
    chain.run()
    chain.stage = good
    chain.run()
    assert chain.published == 2 and (chain.output / "a.txt").read_text() == "2"


def test_nothing_is_published_out_of_missing_units(chain: Chain) -> None:
    chain.stage = replace(chain.stage, make=lambda project, unit: None)
    with pytest.raises(DatasetDMError, match="1 of 1 units are missing"):
        chain.run()
    assert chain.published == 0


def test_a_failed_publication_is_tried_again(chain: Chain) -> None:
    def fail(project: Any, plan: Plan) -> StageResult:
        chain._finish(project, plan)
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
        run_stage(first, chain.project)
    assert chain.published == 2


def test_a_published_folder_has_a_record_that_is_the_same_for_the_same_output(chain: Chain) -> None:
    def publish() -> bytes:
        stage = replace(chain.stage, describe=lambda project, folder: {"files": len(list(folder.iterdir()))})
        with publish_checked(stage, chain.project) as folder:
            (folder / "a.txt").write_text("1")
        return (chain.output / "record.json").read_bytes()

    first = publish()
    assert publish() == first
    record = json.loads(first)
    assert record.pop("digest")
    assert record == {"stage": "second", "code_version": "1", "settings": {"size": None}, "files": 1}


def test_what_does_not_pass_its_checks_is_not_published(chain: Chain) -> None:
    def refuse(project: Any, folder: Path) -> dict[str, int]:
        raise DatasetDMError(f"{folder} is no good")

    stage = replace(chain.stage, checks=(Check(name="good", description="It is good.", run=refuse),))
    with pytest.raises(DatasetDMError, match="out is no good"), publish_checked(stage, chain.project) as folder:
        (folder / "a.txt").write_text("1")
    assert not chain.output.exists()


def test_advice_does_not_hold_up_a_publication(chain: Chain) -> None:
    def refuse(project: Any, folder: Path) -> dict[str, int]:
        raise DatasetDMError("a person has to look")

    promise = Check(name="sure", description="", run=refuse)
    advised = replace(chain.stage, checks=(replace(promise, advice=True),))
    with publish_checked(advised, chain.project) as folder:
        (folder / "a.txt").touch()
    assert (chain.output / "a.txt").exists()
    with pytest.raises(DatasetDMError), publish_checked(replace(advised, checks=(promise,)), chain.project):
        pass

"""Outputs appear whole, checked, and with a record of what they are; those that are up to date stay.

An output is up to date while nothing that it depends on has changed: the stage's code version and settings, the units
that it is made of (their names, and when they were made), its inputs, and the output itself. It is also published again
if the experiment log is another one, so that the result is recorded there, too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from datasetdm.pipeline.engine.plan import Plan
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import P, Stage
from datasetdm.utils.digests import digest
from datasetdm.utils.files import remove_leftovers, replacing, write_json, write_text

_VERSION = 2  # of what is published of the same units: a change publishes all outputs again, and makes no unit again

RECORD = "record.json"  # in every published folder


@contextmanager
def publish_checked(stage: Stage[P], project: P) -> Iterator[Path]:
    """A temporary folder that becomes the stage's output once all its checks have passed.

    `record.json` is added to it: the stage with its code version and settings, a digest of the other files (see
    `digest`), and what `Stage.describe` says of them. It holds no time, so that the same output has the same bytes.
    """
    output = stage.output(project)
    remove_leftovers(output)
    with replacing(output) as folder:
        folder.mkdir()
        yield folder
        for check in stage.checks:
            if not check.advice:
                check.run(project, folder)
        record: dict[str, Any] = {
            "stage": stage.name,
            "code_version": stage.code_version,
            "settings": stage.settings(project),
            "digest": digest(folder),
            **stage.describe(project, folder),
        }
        write_json(folder / RECORD, record)


class _Note(BaseModel):
    """What is kept of a publication: a digest of all that it depended on, and the stage's report."""

    model_config = ConfigDict(ser_json_inf_nan="strings")
    of: str
    result: StageResult


def digest_of_sources(stage: Stage[P], project: P, plan: Plan) -> str:
    """A digest of what the output is made of."""
    units = [(folder.name, folder.stat().st_mtime_ns if folder.exists() else None) for folder in plan.folders]
    inputs = [step.output(project) for step in stage.upstream]
    return digest(_VERSION, stage.code_version, stage.settings(project), units, inputs)


def known_result(stage: Stage[P], project: P, sources: str) -> StageResult | None:
    """The stage's report of its output if that is up to date; None if it has to be published."""
    if not stage.output(project).exists():
        return None
    try:
        note = _Note.model_validate_json(note_file(stage, project).read_text())
    except (OSError, ValueError):  # missing or damaged: publish again
        return None
    return note.result if note.of == _state(stage, project, sources) else None


def remember(stage: Stage[P], project: P, sources: str, result: StageResult) -> None:
    """Keep the stage's report of the output that it has just published."""
    note, file = _Note(of=_state(stage, project, sources), result=result), note_file(stage, project)
    remove_leftovers(file)
    write_text(file, note.model_dump_json(indent=2))


def note_file(stage: Stage[P], project: P) -> Path:
    """Where the report of the last publication is kept."""
    return project.work / f"{stage.name}_{project.name}.json"


def _state(stage: Stage[P], project: P, sources: str) -> str:
    return digest(sources, project.log_identity(), stage.output(project))

"""What a stage has published is not published, checked and logged again while nothing that it depends on has changed.

Everything counts that DVC would look at: the stage's settings, its inputs and its output, by content. So does the
tracking store, as a stage that another store has never heard of is told to it. What is kept is the stage's own account
of its output, for Dagster to show.
"""

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from datasetdm.formats.files import write_text
from datasetdm.stages.context import Context
from datasetdm.stages.units import digest
from datasetdm.structures import StageResult
from datasetdm.tracking import store_name

if TYPE_CHECKING:
    from datasetdm.stages.stage import Stage


class _Told(BaseModel):
    """What is kept: the digest of all that the output depends on, itself among it, and what the stage told of it."""

    model_config = ConfigDict(ser_json_inf_nan="strings")
    of: str
    result: StageResult


def known_result(stage: "Stage", context: Context) -> StageResult | None:
    """What the stage told of its output, if that is up to date; None if it has to be published."""
    if not stage.output(context).exists():
        return None
    try:
        told = _Told.model_validate_json(context.paths.told(stage.name).read_text())
    except (FileNotFoundError, ValidationError):
        return None
    return told.result if told.of == _state(stage, context) else None


def remember(stage: "Stage", context: Context, result: StageResult) -> None:
    """Keep what the stage told of the output that it has just published."""
    if stage.has_units:  # the others take seconds, and read what is not ours: the raw data, edited prompts
        told = _Told(of=_state(stage, context), result=result)
        write_text(context.paths.told(stage.name), told.model_dump_json(indent=2))


def forget(stage: "Stage", context: Context) -> None:
    """The output will have to be published again, as a unit of it is made anew."""
    context.paths.told(stage.name).unlink(missing_ok=True)


def _state(stage: "Stage", context: Context) -> str:
    files = [step.output(context) for step in (*stage.upstream, stage)]
    return digest(stage.settings(context), store_name(), files)

"""What a stage has published is not published, checked and logged again while nothing that it depends on has changed.

That is its settings, the units that its output was put together from (which are named by all that they depend on, and
carry the time when they were made), its inputs and its output (as `units.digest` sees a folder), and the experiment of
the tracking store, as another store is to be told, too. What is kept is the stage's own account of its output, for
Dagster to show.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.tracking import experiment_identity
from datasetdm.utils.digests import digest
from datasetdm.utils.files import remove_leftovers, write_text

if TYPE_CHECKING:
    from datasetdm.pipeline.engine.stage import Stage


class _Told(BaseModel):
    """What is kept: the digest of all that counts, and what the stage told of its output."""

    model_config = ConfigDict(ser_json_inf_nan="strings")
    of: str
    result: StageResult


def sources(stage: "Stage", context: Context, units: Mapping[str, Sequence[Path]]) -> list[Any]:
    """What the output of a stage is made of, its units among it, for `digest`."""
    folders = chain.from_iterable(units.values())
    made = [(folder.name, folder.stat().st_mtime_ns if folder.exists() else None) for folder in folders]
    return [stage.settings(context), made, [step.output(context) for step in stage.upstream]]


def known_result(stage: "Stage", context: Context, made_of: str) -> StageResult | None:
    """What the stage told of its output, if that is up to date; None if it has to be published."""
    if not stage.output(context).exists():
        return None
    try:
        told = _Told.model_validate_json(context.paths.told(stage.name).read_text())
    except (OSError, ValueError):  # missing or damaged: publish again
        return None
    return told.result if told.of == _state(stage, context, made_of) else None


def remember(stage: "Stage", context: Context, made_of: str, result: StageResult) -> None:
    """Keep what the stage told of the output that it has just published, out of `made_of`."""
    told, file = _Told(of=_state(stage, context, made_of), result=result), context.paths.told(stage.name)
    remove_leftovers(file)
    write_text(file, told.model_dump_json(indent=2))


def _state(stage: "Stage", context: Context, made_of: str) -> str:
    return digest(made_of, experiment_identity(context.experiment), stage.output(context))

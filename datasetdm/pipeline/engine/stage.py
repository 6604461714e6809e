"""What a stage is, and the one way to run it."""

import operator
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.published import known_result, remember, sources
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.units import is_finished, passing_over_busy_units, sweep
from datasetdm.tracking import check_server
from datasetdm.utils.digests import digest
from datasetdm.utils.files import remove_leftovers, replacing
from datasetdm.utils.progress import duration, say, working_on


def _no_units(context: Context) -> dict[str, list[Path]]:
    return {}


def _no_unit(context: Context, key: str) -> None:
    raise KeyError(key)


@dataclass(frozen=True, kw_only=True)
class Check:
    """Something that must hold of a stage's output; called before publishing and by Dagster.

    Attributes:
        name: short, in snake case.
        description: what is promised, in a sentence.
        run: looks at a folder and returns what it counted; raises DatasetDMError where it does not hold.
    """

    name: str
    description: str
    run: Callable[[Context, Path], dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the chain, for any benchmark.

    Attributes:
        name: the verb: CLI, DVC.
        asset: the noun: the Dagster asset is `<asset>_<benchmark>`.
        description: one sentence for people.
        upstream: the stages whose outputs it reads.
        parameters: the keys of the benchmark's block that it depends on.
        uses_backbone: whether it reads the diffusion model.
        units: the units by key, each with its folder (or several), made or not.
        run_unit: makes one unit; safe to repeat, safe beside other callers.
        finish: checks, assembles and publishes the output, logs it, and tells of it.
        checks: what `finish` checks before publishing.
        output: the published path.
    """

    name: str
    asset: str
    description: str
    upstream: tuple["Stage", ...]
    parameters: tuple[str, ...]
    finish: Callable[[Context], StageResult]
    output: Callable[[Context], Path]
    units: Callable[[Context], dict[str, list[Path]]] = _no_units
    run_unit: Callable[[Context, str], None] = _no_unit
    uses_backbone: bool = False
    checks: Sequence[Check] = ()

    @property
    def has_units(self) -> bool:
        """Whether the work is cut into units."""
        return self.units is not _no_units

    def plan(self, context: Context) -> list[str]:
        """The keys of the units that are missing or damaged.

        Raises:
            DatasetDMError: the tracking server, which is to be told of them, does not answer.
        """
        check_server()
        return [key for key, folders in self.units(context).items() if not all(map(is_finished, folders))]

    def settings(self, context: Context) -> dict[str, Any]:
        """The settings that it depends on, by key."""
        block = context.settings.model_dump(mode="json")
        found = {key: reduce(operator.getitem, key.split("."), block) for key in self.parameters}
        if self.uses_backbone:
            found["backbone"] = context.params.backbone.model_dump(mode="json")
        return found


def run_stage(stage: Stage, context: Context) -> StageResult:
    """Run a stage from its first missing unit to its published output (what the CLI and DVC do).

    Several processes may do so at once, on a GPU each: what another one is at is left to it, and waited for at the end.
    """
    name = f"{stage.name} {context.benchmark}"
    with working_on(name):
        start = time.perf_counter()
        sweep_work(context)
        keys, busy = stage.plan(context), []
        for number, key in enumerate(keys, 1):
            with working_on(f"{name} {key} ({number} of {len(keys)})"):
                try:
                    with passing_over_busy_units():
                        run_unit(stage, context, key)
                except Timeout:
                    busy.append(key)
        for key in busy:
            with working_on(f"{name} {key}"):
                say("another process has begun it; waiting")
                stage.run_unit(context, key)
        result = finish_stage(stage, context)
        say(f"done in {duration(time.perf_counter() - start)}")
    return result


def run_unit(stage: Stage, context: Context, key: str) -> None:
    """Make one unit, and say how long it took."""
    start = time.perf_counter()
    stage.run_unit(context, key)
    say(f"done in {duration(time.perf_counter() - start)}")


def finish_stage(stage: Stage, context: Context) -> StageResult:
    """Publish the output of a stage unless it is up to date, one caller at a time."""
    lock = context.paths.lock(stage.name)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if not stage.has_units:  # takes seconds, and reads what is not ours: the raw data, edited prompts
            return stage.finish(context)
        units = stage.units(context)
        _refuse_unfinished(stage, context, units)
        made_of = digest(*sources(stage, context, units))
        result = known_result(stage, context, made_of)
        if result is None:
            result = stage.finish(context)
            remember(stage, context, made_of, result)
        return result


def sweep_work(context: Context) -> None:
    """Remove what killed processes left beside the units of all stages."""
    for folder in context.paths.work_folders():
        sweep(folder)


def _refuse_unfinished(stage: Stage, context: Context, units: Mapping[str, Sequence[Path]]) -> None:
    unfinished = [key for key, folders in units.items() if not all(map(is_finished, folders))]
    if unfinished:
        raise DatasetDMError(
            f"{stage.name} {context.benchmark}: {len(unfinished)} of {len(units)} units are missing, or were damaged "
            f"after they were made, such as {unfinished[0]}. Run the stage again, which makes them again."
        )


@contextmanager
def publish_checked(context: Context, stage: Stage, output: Path) -> Iterator[Path]:
    """A temporary folder that is published as `output` once all checks of the stage hold of it."""
    remove_leftovers(output)
    with replacing(output) as folder:
        folder.mkdir()
        yield folder
        for check in stage.checks:
            check.run(context, folder)

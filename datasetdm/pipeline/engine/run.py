"""The one way to run a stage: plan, make what is missing, publish."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.engine.pace import note_finishing_pace, note_pace, pace
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.publish import digest_of_sources, known_result, remember
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import P, Project, Stage
from datasetdm.pipeline.engine.units import passing_over_busy_units, sweep
from datasetdm.utils.leases import Busy, lease
from datasetdm.utils.progress import duration, say, working_on


def run_stage(stage: Stage[P], project: P) -> StageResult:
    """Run a stage from its first missing unit to its published output (what the command line and DVC do).

    Several processes may run the same stage at once, each on another GPU or another machine. A unit that another
    process is making is left to that process, and waited for at the end.
    """
    name = f"{stage.name} {project.name}"
    with working_on(name):
        start = time.perf_counter()
        plan = begin_stage(stage, project)
        keys, busy = plan.missing(), []
        if stage.has_units:
            say(announcement(stage, project, plan, keys))
        for number, key in enumerate(keys, 1):
            with working_on(f"{name} {key} ({number} of {len(keys)})"):
                try:
                    with passing_over_busy_units():
                        run_unit(stage, project, plan[key])
                except Busy:
                    busy.append(key)
        for key in busy:
            with working_on(f"{name} {key}"):
                say("another process has begun it; waiting")
                stage.make(project, plan[key])
        result = finish_stage(stage, project, plan)
        say(f"done in {duration(time.perf_counter() - start)}")
    return result


def announcement(stage: Stage[P], project: P, plan: Plan, missing: Sequence[str]) -> str:
    """What the stage is about to do, and how long one part took the last time."""
    if not missing:
        return "every part is made" if len(plan) else "nothing to make"
    seconds = pace(stage, project)
    last = f"; the last one took {duration(seconds)}" if seconds else ""
    return f"{len(missing)} of {len(plan)} parts to make{last}"


def check_ready(stages: Iterable[Stage[P]], project: P) -> None:
    """Find out, before any work, whether this machine has all that the stages of a run need.

    Raises:
        DatasetDMError: it has not; the message names everything that is missing.
    """
    problems: dict[str, None] = {}  # in order, each once
    for stage in stages:
        try:
            stage.check_ready(project)
        except DatasetDMError as error:
            problems[str(error)] = None
    if problems:
        raise DatasetDMError("\n".join(problems))


def begin_stage(stage: Stage[P], project: P) -> Plan:
    """The plan of a stage that is about to run, after a look at what could spoil hours of work.

    Raises:
        DatasetDMError: the machine lacks something, the experiment log could not record the results, or an input is
            missing.
    """
    stage.check_ready(project)
    sweep_work(project)
    project.check_log()
    for step in (*stage.upstream, stage):
        restore_output(step, project)
    return stage.plan(project)


def restore_output(stage: Stage[P], project: P) -> None:
    """Make the published output of a stage whole, if there is one (see `Stage.restore`)."""
    output = stage.output(project)
    if not output.exists() or stage.is_whole(output):
        return
    with _publishing(stage, project):
        if not stage.is_whole(output):  # another process may have been faster
            stage.restore(output)


def preview_stage(stage: Stage[P], project: P) -> str:
    """What `run_stage` would do now, in a few words; makes nothing."""
    try:
        plan = stage.plan(project)
    except DatasetDMError as error:
        return f"cannot be planned yet: {error}"
    if missing := plan.missing():
        return announcement(stage, project, plan, missing)
    if not stage.has_units:
        return "runs, which takes seconds"
    known = all(step.output(project).exists() for step in stage.upstream)
    up_to_date = known and known_result(stage, project, digest_of_sources(stage, project, plan)) is not None
    return "up to date" if up_to_date else "every part is made; puts them together"


def run_unit(stage: Stage[P], project: P, unit: Unit) -> None:
    """Make one unit, and say how long it took."""
    start = time.perf_counter()
    stage.make(project, unit)
    seconds = time.perf_counter() - start
    note_pace(stage, project, seconds)
    say(f"done in {duration(seconds)}")


def finish_stage(stage: Stage[P], project: P, plan: Plan) -> StageResult:
    """Publish the output of a stage unless it is up to date, one caller at a time.

    Raises:
        DatasetDMError: a unit is missing or damaged.
    """
    with _publishing(stage, project):
        if not stage.has_units:  # it takes seconds, and reads what is not ours: raw data, edited tables
            return _finish(stage, project, plan)
        _refuse_unfinished(stage, project, plan)
        sources = digest_of_sources(stage, project, plan)
        result = known_result(stage, project, sources)
        if result is None:
            result = _finish(stage, project, plan)
            remember(stage, project, sources, result)
        return result


@contextmanager
def _publishing(stage: Stage[P], project: P) -> Iterator[None]:
    """One caller at a time changes the published output of a stage."""
    with lease(project.work / f"{stage.name}_{project.name}.lease"):
        yield


def _finish(stage: Stage[P], project: P, plan: Plan) -> StageResult:
    """`Stage.finish`, whose time is written down."""
    start = time.perf_counter()
    result = stage.finish(project, plan)
    note_finishing_pace(stage, project, time.perf_counter() - start)
    return result


def sweep_work(project: Project) -> None:
    """Remove what killed processes left next to the units of all stages."""
    if project.work.is_dir():
        for folder in sorted(path for path in project.work.iterdir() if path.is_dir()):
            sweep(folder)


def _refuse_unfinished(stage: Stage[P], project: P, plan: Plan) -> None:
    if unfinished := plan.missing():
        raise DatasetDMError(
            f"{stage.name} {project.name}: {len(unfinished)} of {len(plan)} units are missing, or were damaged after "
            f"they were made, such as {unfinished[0]}. Run the stage again, which makes them again."
        )

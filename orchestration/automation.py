"""What runs by itself: a sensor for new images, a nightly run, and the closing of killed runs.

All but the last are off until somebody switches them on, on Dagster's page "Automation". They need `make ui` (or
`dagster dev`) to be running.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from dagster import (
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    ScheduleDefinition,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)

from datasetdm.config import Params, load_params
from orchestration.history import close_dead_runs
from orchestration.jobs import EVERY_BENCHMARK, Job

LOOK_EVERY = 60  # seconds


def new_images_sensor(jobs: list[Job]) -> SensorDefinition:
    """Runs the chain of a benchmark when the files in its `source.root` have changed, and have stopped changing.

    Benchmarks on the embedded world render their images themselves and are not watched.
    """

    @sensor(
        name="new_labelled_images",
        jobs=jobs,
        minimum_interval_seconds=LOOK_EVERY,
        default_status=DefaultSensorStatus.STOPPED,
        description="Runs a benchmark when new images or labels arrive in its `source.root`, once they are complete: "
        f"two looks, {LOOK_EVERY} s apart, have to find the same. Benchmarks on the embedded world are not watched.",
    )
    def look(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        seen = json.loads(context.cursor or "{}")
        arrived, remembered = _compare(seen, _states(load_params()))
        context.update_cursor(json.dumps(remembered))
        for benchmark, state in arrived.items():
            yield RunRequest(
                run_key=f"{benchmark} {state}", job_name=benchmark, tags={"datasetdm/because": "new images"}
            )
        if not arrived:
            yield SkipReason("No new images.")

    return look


def _states(params: Params) -> dict[str, str]:
    """Benchmark -> what its own data look like from outside: number of files, bytes, newest change."""
    roots = {name: block.source.root for name, block in params.benchmarks.items() if not block.source.miniworld}
    return {name: _state(Path(root).expanduser()) for name, root in roots.items()}


def _state(root: Path) -> str:
    files = size = newest = 0
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                status = os.stat(os.path.join(folder, name))
            except FileNotFoundError:  # removed since
                continue
            files, size, newest = files + 1, size + status.st_size, max(newest, status.st_mtime_ns)
    return f"{files} {size} {newest}"


def _compare(seen: dict[str, list[str]], now: dict[str, str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """What has arrived, and what to remember: per benchmark the state that was run last, and the state just seen.

    At the first look the state counts as run: nothing is new yet.
    """
    arrived: dict[str, str] = {}
    remembered: dict[str, list[str]] = {}
    for name, state in now.items():
        last_run, last_seen = seen.get(name, [state, state])
        if state == last_seen != last_run:
            arrived[name] = last_run = state
        remembered[name] = [last_run, state]
    return arrived, remembered


def nightly_schedule(job: Job) -> ScheduleDefinition:
    """An example: everything that is out of date, at two in the morning."""
    return ScheduleDefinition(
        name="nightly",
        job=job,
        cron_schedule="0 2 * * *",
        default_status=DefaultScheduleStatus.STOPPED,
        description=f"Runs the job `{EVERY_BENCHMARK}` every night. What is up to date costs seconds.",
    )


@sensor(
    name="killed_runs",
    minimum_interval_seconds=LOOK_EVERY,
    default_status=DefaultSensorStatus.RUNNING,
    description="Marks runs as failed whose process was killed; without it they would stay `Started` for ever.",
)
def killed_runs(context: SensorEvaluationContext) -> SkipReason:
    """See `orchestration.history`."""
    closed = close_dead_runs(context.instance)
    return SkipReason(f"Closed {', '.join(closed)}." if closed else "No run was killed.")

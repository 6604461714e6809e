"""Runs whose process was killed are marked as failed in Dagster's history, where they would stay "Started" for ever.

Dagster's own run monitoring needs its daemon and a launcher that can check on a run; `dagster asset materialize` has
neither. So every run looks for dead ones before it, and the sensor `killed_runs` does every minute while `make ui`
runs. Both leave the runs alone whose steps run on a cluster: a step there cannot see the process of its run.
"""

import platform
import time
from collections.abc import Iterator

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter

from datasetdm.utils.processes import runs_since
from orchestration.engines import is_on_cluster

MACHINE = "datasetdm/machine"
OPEN = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]

# A live run has its tag by then, so one without was begun here or by an earlier version.
PATIENCE = 120.0  # seconds


def look_after(instance: DagsterInstance, run_id: str) -> None:
    """Note on which machine the run `run_id` is, and close the runs of dead processes."""
    run = instance.get_run_by_id(run_id)
    if run is None or not is_on_cluster(run.run_config):
        instance.add_run_tags(run_id, {MACHINE: platform.node()})
        close_dead_runs(instance)


def close_dead_runs(instance: DagsterInstance) -> list[str]:
    """Mark the open runs of this machine whose process is gone as failed; their ids."""
    closed = []
    for record in instance.get_run_records(RunsFilter(statuses=OPEN)):
        if _may_be_judged(record) and _is_dead(instance, record.dagster_run.run_id):
            instance.report_run_failed(
                record.dagster_run, "The process of this run is gone: it was killed, or the machine was restarted."
            )
            closed.append(record.dagster_run.run_id)
    return closed


def _may_be_judged(record: RunRecord) -> bool:
    """Whether the run was on this machine, as far as anybody knows."""
    if is_on_cluster(record.dagster_run.run_config):
        return False
    machine = record.dagster_run.tags.get(MACHINE)
    if machine is None:
        return time.time() - (record.start_time or record.create_timestamp.timestamp()) > PATIENCE
    return machine == platform.node()


def _is_dead(instance: DagsterInstance, run_id: str) -> bool:
    """Whether every process that Dagster noted for the run (not for one of its steps) is gone; False without one."""
    processes = list(_processes(instance, run_id))
    return bool(processes) and not any(runs_since(pid, noted) for pid, noted in processes)


def _processes(instance: DagsterInstance, run_id: str) -> Iterator[tuple[int, float]]:
    """Number of each process, and when Dagster noted it (Unix time)."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        if event is not None and event.step_key is None:
            pid = event.engine_event_data.metadata.get("pid")
            if pid is not None:
                yield int(str(pid.value)), entry.timestamp

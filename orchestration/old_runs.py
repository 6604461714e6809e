"""Old runs in Dagster's history: `python -m orchestration.old_runs --days 30` lists those that may go, as JSON.

A run stays while Dagster shows it on the page of an asset: the last one that made it, or was about to. What else ended
more than some days ago may go, with its events and logs. `datasetdm prune` calls this, and shows it to people.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, RunRecord, RunsFilter
from dagster._core.storage.dagster_run import FINISHED_STATUSES, NOT_FINISHED_STATUSES
from dotenv import load_dotenv

from orchestration.history import close_dead_runs


def old_runs(instance: DagsterInstance, days: float) -> list[RunRecord]:
    """The finished runs that may go, the oldest first."""
    before = datetime.now(UTC) - timedelta(days=days)
    shown = set(_shown(instance))
    filters = RunsFilter(statuses=list(FINISHED_STATUSES), updated_before=before)
    records = instance.get_run_records(filters, ascending=True)
    return [record for record in records if record.dagster_run.run_id not in shown]


def remove(instance: DagsterInstance, run_id: str) -> None:
    """Remove a run with its events and logs."""
    instance.delete_run(run_id)
    for path in _files(instance, run_id):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _shown(instance: DagsterInstance) -> Iterator[str]:
    """The runs that the pages of the assets refer to. Results of checks are kept apart, and stay without their run."""
    for record in instance.get_asset_records():
        entry = record.asset_entry
        yield from (event.run_id for event in (entry.last_materialization, entry.last_observation) if event)
        yield from filter(None, (entry.last_run_id, entry.last_planned_materialization_run_id))


def _files(instance: DagsterInstance, run_id: str) -> list[Path]:
    """What the history keeps of a run in files: with SQLite its events, its logs, and what its steps have stored."""
    home = Path(instance.root_directory)
    return [path for path in (*home.glob(f"history/runs/{run_id}.db*"), home / "storage" / run_id) if path.exists()]


def _described(instance: DagsterInstance, record: RunRecord) -> dict[str, Any]:
    run, files = record.dagster_run, _files(instance, record.dagster_run.run_id)
    inside = [file for path in files for file in (path.rglob("*") if path.is_dir() else [path])]
    return {
        "run_id": run.run_id,
        "name": f"{run.job_name} {run.run_id}",
        "why": f"{run.status.value.lower()}, last changed {record.update_timestamp:%Y-%m-%d}",
        "size": sum(file.stat().st_size for file in inside if file.is_file()),
    }


def close(instance: DagsterInstance, run_id: str) -> int:
    """Mark a run as failed; an exit code."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        print(f"error: Dagster has no unfinished run {run_id}.", file=sys.stderr)
        return 2
    instance.report_run_failed(run, "A person has closed this run: its machine is gone.")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="orchestration.old_runs", description="Old runs in Dagster's history.")
    parser.add_argument("--days", type=float, default=30.0, help="how long a run stays after it has ended")
    parser.add_argument("--remove", action="store_true", help="remove those whose ids come in, one a line")
    parser.add_argument("--close", metavar="ID", help="mark a run as failed whose machine is gone, and do no more")
    options = parser.parse_args(arguments)
    load_dotenv(".env")
    with DagsterInstance.get() as instance:
        if options.close:
            return close(instance, options.close)
        close_dead_runs(instance)
        old = old_runs(instance, options.days)
        if options.remove:
            wanted = set(sys.stdin.read().split())
            for record in old:
                if record.dagster_run.run_id in wanted:
                    remove(instance, record.dagster_run.run_id)
        else:
            unfinished = instance.get_run_records(RunsFilter(statuses=list(NOT_FINISHED_STATUSES)))
            found = {
                "unfinished": [record.dagster_run.run_id for record in unfinished],
                "old": [_described(instance, record) for record in old],
            }
            print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

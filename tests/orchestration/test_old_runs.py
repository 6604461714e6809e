"""Old runs go from Dagster's history, but never one that the page of an asset shows."""

import io
import json
from pathlib import Path

import pytest
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterRunStatus,
    DataVersion,
    Definitions,
    MaterializeResult,
    asset,
    materialize,
)

from orchestration import old_runs


@asset
def weighed():
    return MaterializeResult(data_version=DataVersion("md5"))


@asset
def counted():
    return MaterializeResult()


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """A history with three runs, the first two of `weighed`, and their ids."""
    with DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        runs = [materialize([made], instance=instance).run_id for made in (weighed, weighed, counted)]
        yield instance, runs


def ids(records):
    return [record.dagster_run.run_id for record in records]


def test_only_runs_that_no_asset_shows_are_old(history):
    instance, (first, _, _) = history
    assert ids(old_runs.old_runs(instance, 0)) == [first]
    assert not old_runs.old_runs(instance, 1)


def test_a_person_can_close_a_run_of_a_machine_that_is_gone(history, monkeypatch, capsys):
    instance, _ = history
    monkeypatch.setattr(DagsterInstance, "get", lambda: instance)
    monkeypatch.setattr(DagsterInstance, "__exit__", lambda *arguments: None)
    lost = instance.create_run_for_job(Definitions([counted]).resolve_implicit_global_asset_job_def())
    instance.report_run_canceling(lost)
    assert old_runs.main(["--close", lost.run_id]) == 0
    assert instance.get_run_by_id(lost.run_id).status == DagsterRunStatus.FAILURE
    assert old_runs.main(["--close", lost.run_id]) == 2
    assert "has no unfinished run" in capsys.readouterr().err
    instance.delete_run(lost.run_id)


def test_the_command_lists_first_and_removes_what_is_named(history, monkeypatch, capsys):
    instance, (first, second, _) = history
    monkeypatch.setattr(DagsterInstance, "get", lambda: instance)
    monkeypatch.setattr(DagsterInstance, "__exit__", lambda *arguments: None)
    assert old_runs.main(["--days", "0"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["unfinished"] == []
    assert [run["run_id"] for run in found["old"]] == [first]
    assert found["old"][0]["size"] > 1000
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{second}\n"))  # not among the old ones
    assert old_runs.main(["--days", "0", "--remove"]) == 0
    assert instance.get_run_by_id(first) and instance.get_run_by_id(second)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{first}\n{second}\n"))
    assert old_runs.main(["--days", "0", "--remove"]) == 0
    assert instance.get_run_by_id(first) is None and instance.get_run_by_id(second)
    assert not list(Path(instance.root_directory).rglob(f"*{first}*"))
    event = instance.get_latest_materialization_event(AssetKey("weighed"))
    assert event.run_id == second and event.asset_materialization.tags["dagster/data_version"] == "md5"

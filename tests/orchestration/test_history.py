"""Runs that were killed do not stay "Started" in Dagster's history."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter, asset, materialize

from orchestration import history

PROJECT = Path(__file__).parents[2]

KILLED = """
import os, signal, sys
from dagster import DagsterInstance, asset, materialize
from orchestration.history import look_after

@asset
def thing(context):
    if sys.argv[1] == "tagged":
        look_after(context.instance, context.run.run_id)
    os.kill(os.getpid(), signal.SIGKILL)

materialize([thing], instance=DagsterInstance.get())
"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    """An instance on disk, as `DAGSTER_HOME` names one."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        with DagsterInstance.get() as instance:
            yield instance


def kill_a_run(instance, kind):
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "DAGSTER_HOME": instance.root_directory}
    run = subprocess.run([sys.executable, "-c", KILLED, kind], env=environment, capture_output=True)
    assert run.returncode == -9, run.stderr
    (dead,) = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED]))
    return dead.run_id


def status(instance, run_id):
    return instance.get_run_by_id(run_id).status


def test_the_next_run_closes_a_killed_one_and_not_itself(instance):
    dead = kill_a_run(instance, "tagged")
    seen = []

    @asset
    def thing(context):
        history.look_after(context.instance, context.run.run_id)
        seen.append(status(context.instance, context.run.run_id))

    assert materialize([thing], instance=instance).success
    assert seen == [DagsterRunStatus.STARTED]
    assert status(instance, dead) == DagsterRunStatus.FAILURE


def test_runs_of_other_machines_are_left_alone(instance):
    dead = kill_a_run(instance, "tagged")
    instance.add_run_tags(dead, {history.MACHINE: "another"})
    assert history.close_dead_runs(instance) == []
    instance.add_run_tags(dead, {history.MACHINE: platform.node()})
    assert history.close_dead_runs(instance) == [dead]


def test_a_run_that_was_killed_before_its_first_step_is_closed_later(instance, monkeypatch):
    dead = kill_a_run(instance, "untagged")
    assert history.close_dead_runs(instance) == []  # on another machine it may just have begun
    monkeypatch.setattr(history, "PATIENCE", 0.0)
    assert history.close_dead_runs(instance) == [dead]


def test_a_run_on_a_cluster_is_not_judged_by_processes_of_one_machine(instance, monkeypatch):
    monkeypatch.setattr(history, "PATIENCE", 0.0)

    @asset
    def thing(context):
        history.look_after(context.instance, context.run.run_id)

    with monkeypatch.context() as patch:
        patch.setattr(history, "is_on_cluster", lambda run_config: True)
        run = materialize([thing], instance=instance)
        (record,) = instance.get_run_records(RunsFilter(run_ids=[run.run_id]))
        assert history.MACHINE not in record.dagster_run.tags
        assert not history._may_be_judged(record)
    assert history._may_be_judged(record)

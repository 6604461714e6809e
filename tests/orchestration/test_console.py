import logging
from pathlib import Path

import pytest
import yaml
from dagster import Definitions, Failure, asset, get_dagster_logger, instance_for_test

from datasetdm.utils.progress import say
from orchestration.console import plain_console

INSTANCE = yaml.safe_load((Path(__file__).parents[2] / "scripts" / "dagster.yaml").read_text())


@pytest.fixture(autouse=True)
def only_dagster_prints(monkeypatch):
    """The command line, tested in the same process, prints these records, too."""
    monkeypatch.setattr(logging.getLogger("datasetdm"), "handlers", [])


def run(body, capfd):
    """What the console shows of a run of one asset, with the instance settings that `make setup` installs."""

    @asset
    def one() -> None:
        body()

    job = Definitions(assets=[one], loggers={"console": plain_console}).resolve_implicit_global_asset_job_def()
    with instance_for_test(overrides=INSTANCE) as instance:
        config = {"loggers": {"console": {}}}
        result = job.execute_in_process(run_config=config, instance=instance, raise_on_error=False)
        events = instance.all_logs(result.run_id)
    return capfd.readouterr().out.splitlines(), [event.user_message for event in events]


def test_the_console_shows_what_stages_say_and_nothing_else(capfd):
    def body():
        say("4 of 10 shards, 30 s left")
        logging.getLogger("other").info("not this")
        get_dagster_logger().info("nor Dagster's own notes")

    shown, events = run(body, capfd)
    assert shown == ["4 of 10 shards, 30 s left"]
    assert events.count("4 of 10 shards, 30 s left") == 1


def test_the_console_shows_why_a_step_failed(capfd):
    def full():
        raise Failure(description="data/real cannot be written: the disk is full.", allow_retries=False)

    shown, _ = run(full, capfd)
    assert [line for line in shown if "disk" in line] == [
        'error: Execution of step "one" failed. data/real cannot be written: the disk is full.'
    ]
    assert not any("Traceback" in line for line in shown)


def test_an_unexpected_error_comes_with_its_traceback(capfd):
    def broken():
        raise RuntimeError("out of cheese")

    shown, _ = run(broken, capfd)
    assert any("out of cheese" in line for line in shown)
    assert any("in broken" in line for line in shown)

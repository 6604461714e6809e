"""The asset factory on a toy chain, run for real."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from dagster import (
    AssetCheckSeverity,
    AssetKey,
    DagsterEventType,
    ExecuteInProcessResult,
    build_asset_check_context,
)

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import open_context
from orchestration.assets import build_assets
from orchestration.checks import build_checks

UNITS = ["both/0", "both/1", "self_training/0"]


def failures(result: ExecuteInProcessResult) -> list[str]:
    """The messages of the failed steps."""
    events = result.filter_events(lambda event: event.event_type == DagsterEventType.STEP_FAILURE)
    return [event.step_failure_data.error.message for event in events]


def materialization(toy, asset: str):
    return toy.instance.get_latest_materialization_event(AssetKey(asset)).asset_materialization


def test_the_chain_runs_once_and_dvc_and_dagster_agree_on_it(toy):
    result = toy.run()
    assert result.success
    assert sorted(toy.trouble.attempts) == UNITS
    assert Path("data/totals/coco.txt").read_text() == str(sum(map(len, UNITS)))
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]

    # The run id reached the tracking of the stages, and stayed nowhere.
    assert toy.run_ids == [result.run_id]
    assert "DAGSTER_RUN_ID" not in os.environ

    # No step handed a value to another: Dagster stored none.
    assert not Path("values").exists()

    # Nothing is missing any more: no unit runs.
    toy.trouble.attempts.clear()
    assert toy.run("counts_coco").success
    assert toy.trouble.attempts == []

    assert "up to date" in toy.dvc("status", "total@coco", "--with-deps")
    lock = yaml.safe_load(Path("dvc.lock").read_text())["stages"]
    for asset, stage in (("counts_coco", "count@coco"), ("totals_coco", "total@coco")):
        version = materialization(toy, asset).tags["dagster/data_version"]
        assert version == lock[stage]["outs"][0]["md5"]


def test_metadata_has_numbers_tables_and_small_pictures(toy):
    toy.run("counts_coco")
    metadata = materialization(toy, "counts_coco").metadata
    assert metadata["units"].value == 3
    assert metadata["missing"].value == "nan"
    assert metadata["Units"].value.startswith("| a |")
    assert metadata["picture"].value.startswith("![picture](data:image/png;base64,")
    assert len(metadata["picture"].value) < 50_000
    assert Path(metadata["path"].value) == Path("data/counts/coco")


def test_trouble_with_files_is_tried_again(toy):
    toy.trouble.error, toy.trouble.times = OSError("the share went away"), 1
    assert toy.run("counts_coco").success
    assert toy.trouble.attempts.count("both/1") == 2


@pytest.mark.parametrize("op", ["plan", "finish"])
def test_trouble_with_files_before_and_after_the_units_is_tried_again(toy, op):
    good, failures_left = toy.stages["count"], [OSError("the share went away")]

    def failing_once(function):
        def call(*arguments):
            if failures_left:
                raise failures_left.pop()
            return function(*arguments)

        return call

    changed = {"plan": {"units": failing_once(good.units)}, "finish": {"finish": failing_once(good.finish)}}
    toy.stages["count"] = replace(good, **changed[op])
    assert toy.run("counts_coco").success
    assert not failures_left and sorted(toy.trouble.attempts) == UNITS


def test_bad_input_fails_at_once_and_costs_one_unit(toy):
    toy.trouble.error, toy.trouble.times = DatasetDMError("x.png is broken: fetch it again."), 1
    result = toy.run()
    assert any(message.endswith("x.png is broken: fetch it again.\n") for message in failures(result))
    assert sorted(toy.trouble.attempts) == UNITS  # no second attempt, and the others ran
    assert not Path("data/counts").exists()

    toy.trouble.attempts.clear()
    assert toy.run("counts_coco").success
    assert toy.trouble.attempts == ["both/1"]


def test_a_mistake_in_the_code_is_not_tried_again(toy):
    toy.trouble.error, toy.trouble.times = ValueError("wrong shape"), 1
    result = toy.run("counts_coco")
    assert any("ValueError: wrong shape" in message for message in failures(result))
    assert toy.trouble.attempts.count("both/1") == 1


def test_an_asset_without_its_inputs_names_the_command(toy):
    assert any("Make it with `python -m datasetdm count`" in message for message in failures(toy.run("totals_coco")))


def test_checks_look_at_what_lies_there_now(toy):
    folder = toy.stages["count"].output(open_context("coco"))
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / f"{name}.txt").touch()
    (check,) = build_checks(toy.params, toy.stages)
    context = build_asset_check_context()
    assert check(context).passed
    (folder / "a.txt").unlink()
    assert not check(context).passed
    assert "has 2 files" in check(context).description
    assert check(context).severity == AssetCheckSeverity.ERROR


def test_advice_warns(toy):
    (check,) = toy.stages["count"].checks
    stage = replace(toy.stages["count"], checks=(replace(check, advice=True),))
    stage.output(open_context("coco")).mkdir(parents=True)
    (advice,) = build_checks(toy.params, {"count": stage})
    said = advice(build_asset_check_context())
    assert not said.passed and said.severity == AssetCheckSeverity.WARN


def test_a_folder_without_dvc_is_an_error(toy):
    Path(".dvc").rename("dvc_away")
    assert any("run `dvc init`" in message for message in failures(toy.run("counts_coco")))


def test_an_output_that_dvc_does_not_know_is_an_error(toy):
    text = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(text.replace("data/counts/${key}", "data/.work/count"))
    assert any("does not name data/counts/coco" in message for message in failures(toy.run("counts_coco")))


def test_an_edit_of_params_yaml_does_not_change_a_run_that_has_begun(toy):
    def edit_and_make(context, unit, make=toy.stages["count"].make):
        content = yaml.safe_load(Path("params.yaml").read_text())
        content["benchmarks"]["coco"]["seeds"] = [5]
        Path("params.yaml").write_text(yaml.safe_dump(content))
        make(context, unit)

    toy.stages["count"] = replace(toy.stages["count"], make=edit_and_make)
    toy.stages["total"] = replace(toy.stages["total"], upstream=(toy.stages["count"],))
    first = toy.params.benchmark("coco").seeds
    assert first != (5,)
    assert toy.run().success
    assert toy.settings_seen == [first, first]
    assert toy.run("totals_coco").success
    assert toy.settings_seen[2:] == [(5,)]  # another run reads the file


def test_a_stage_plans_once_in_a_process(toy):
    planned = []
    good = toy.stages["count"]
    toy.stages["count"] = replace(good, units=lambda context: planned.append(1) or good.units(context))
    assert toy.run("counts_coco").success
    assert planned == [1]


def test_the_code_version_of_a_stage_is_that_of_its_asset(toy):
    assets = build_assets(toy.params, toy.stages)
    versions = {key.to_user_string(): version for one in assets for key, version in one.code_versions_by_key.items()}
    assert versions == {"counts_coco": "7", "totals_coco": "8"}


def test_a_run_whose_last_stage_cannot_run_here_fails_at_once(toy):
    def lacks(context) -> None:
        raise DatasetDMError("a library is not installed")

    toy.stages["total"] = replace(toy.stages["total"], check_ready=lacks)
    result = toy.run()
    assert not result.success and toy.trouble.attempts == []
    assert any("a library is not installed" in message for message in failures(result))
    assert toy.run("counts_coco").success
    assert sorted(toy.trouble.attempts) == UNITS

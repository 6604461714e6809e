"""What Dagster loads, and how people ask for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import AssetSelection, DagsterInvalidConfigError, Definitions, validate_run_config

from datasetdm.config import load_params
from datasetdm.pipeline.stages import STAGES
from orchestration.alerts import tell_webhook
from orchestration.jobs import EVERY_BENCHMARK

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def definitions(monkeypatch: pytest.MonkeyPatch) -> Definitions:
    """The definitions of the project itself."""
    monkeypatch.chdir(PROJECT)
    from orchestration.definitions import defs

    return defs


def test_there_is_a_job_with_all_assets_of_each_benchmark(definitions):
    for benchmark in load_params(PROJECT / "params.yaml").benchmarks:
        job = definitions.resolve_job_def(benchmark)
        made = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
        assert made == {f"{stage.asset}_{benchmark}" for stage in STAGES.values()}


def test_one_job_runs_everything_and_every_job_tells_the_webhook(definitions):
    everything = definitions.resolve_job_def(EVERY_BENCHMARK)
    made = {key.to_user_string() for key in everything.asset_layer.executable_asset_keys}
    params = load_params(PROJECT / "params.yaml")
    assert made == {f"{stage.asset}_{name}" for stage in STAGES.values() for name in params.benchmarks} | {
        "leaderboard"
    }
    for name in (EVERY_BENCHMARK, *params.benchmarks):
        assert definitions.resolve_job_def(name).hook_defs == {tell_webhook}


def test_a_star_selects_all_that_an_asset_needs(definitions):
    selected = AssetSelection.from_string("*synthetic_coco").resolve(definitions.resolve_asset_graph())
    assert {key.to_user_string() for key in selected} == {
        "real_coco",
        "adapted_coco",
        "p_decoder_coco",
        "prompts_coco",
        "synthetic_coco",
    }


@pytest.mark.slow
def test_the_command_line_selects(tmp_path):
    """In a process of its own, as the libraries there decide whether `--select` can be parsed at all."""
    command = [sys.executable, "-m", "dagster", "asset", "list", "--select", "*synthetic_coco"]
    run = subprocess.run(
        [*command, "-m", "orchestration.definitions"],
        cwd=PROJECT,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(run.stdout.split()) == {"adapted_coco", "p_decoder_coco", "prompts_coco", "real_coco", "synthetic_coco"}


def test_where_steps_run_is_a_setting_of_the_run(definitions):
    job = definitions.resolve_job_def("coco")
    assert validate_run_config(job, {"execution": {"config": {"processes": 2}}})
    assert validate_run_config(job, {"execution": {"config": {"ray": {"address": "http://head:8265"}}}})
    with pytest.raises(DagsterInvalidConfigError):
        validate_run_config(job, {"execution": {"config": {"proceses": 2}}})

"""Which executor a run gets, how many steps run at once, and what happens without the extra."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from dagster import (
    DagsterInstance,
    DagsterInvalidConfigError,
    Field,
    InitExecutorContext,
    Int,
    executor,
    in_process_executor,
    job,
)
from dagster._core.definitions.job_base import InMemoryJob

from datasetdm.errors import DatasetDMError
from orchestration import engines, launch
from orchestration.engines import choose, definition, executor_of_run, is_on_cluster

DEFAULTS = {"per_device": 1}
MODULE = "toy_definitions_of_engines"
DEFINITIONS = """
from dagster import Definitions, asset, define_asset_job
from orchestration.engines import executor_of_run

@asset
def thing() -> None: ...

defs = Definitions(assets=[thing], jobs=[define_asset_job("coco", selection="*")], executor=executor_of_run)
"""


@pytest.mark.parametrize(
    ("config", "engine"),
    [
        ({}, "in_process"),
        ({"processes": 1}, "in_process"),
        ({"processes": 4}, "multiprocess"),
        ({"ray": {}}, "ray"),
        ({"ray": {}, "processes": 1}, "ray"),
        ({"kubernetes": {}, "processes": 4}, "kubernetes"),
    ],
)
def test_the_configuration_of_the_run_chooses_the_engine(config, engine):
    assert choose({**DEFAULTS, **config})[0] == engine
    assert is_on_cluster({"execution": {"config": config}}) == (engine in engines.CLUSTERS)


def test_nothing_is_configured_and_nothing_is_on_a_cluster():
    assert not is_on_cluster({})
    assert not is_on_cluster({"execution": {}})


def test_two_clusters_are_one_too_many():
    with pytest.raises(DatasetDMError, match="ray and kubernetes: leave one"):
        choose({**DEFAULTS, "ray": {}, "kubernetes": {}})


@pytest.mark.parametrize(("gpus", "per_device", "limit"), [(0, 1, 1), (0, 2, 2), (1, 2, 2), (4, 1, 4), (4, 2, 8)])
def test_every_gpu_has_as_many_units_as_are_asked_for(monkeypatch, gpus, per_device, limit):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    _, config = choose({"processes": 16, "per_device": per_device})
    assert config["max_concurrent"] == 16
    (rule,) = config["tag_concurrency_limits"]
    assert rule == {"key": "device", "value": {"applyLimitPerUniqueValue": True}, "limit": limit}


def test_steps_on_ray_ask_for_a_core_so_that_every_node_has_some():
    assert choose({**DEFAULTS, "ray": {"address": "http://head:8265"}})[1] == {
        "ray": {"num_cpus": 1, "address": "http://head:8265"}
    }
    assert choose({**DEFAULTS, "ray": {"num_cpus": 0.5}})[1]["ray"]["num_cpus"] == 0.5


@pytest.mark.parametrize("engine", ["ray", "kubernetes"])
def test_without_the_extra_the_error_names_it(engine, monkeypatch):
    monkeypatch.setitem(sys.modules, engines.CLUSTERS[engine][0], None)
    with pytest.raises(DatasetDMError, match=rf"not installed\. .*requirements\.lock .*'datasetdm\[{engine}\]'"):
        definition(engine)


@pytest.fixture
def context() -> Iterator[InitExecutorContext]:
    """What Dagster hands to an executor that is about to be made."""

    @job
    def nothing() -> None: ...

    with DagsterInstance.ephemeral() as instance:
        yield InitExecutorContext(InMemoryJob(nothing), executor_of_run, DEFAULTS, instance)


def test_the_executor_of_a_cluster_gets_its_own_settings_checked_and_completed(monkeypatch, context):
    seen = []

    @executor(config_schema={"ray": {"num_cpus": int, "retries": Field(Int, default_value=3)}})
    def ray_executor(inner: InitExecutorContext):
        seen.append((inner.executor_def, inner.executor_config, inner.job, inner.instance))
        return in_process_executor.executor_creation_fn(
            inner._replace(executor_config={"retries": {"enabled": {}}, "step_dependency_config": None})
        )

    module = ModuleType("dagster_ray")
    module.ray_executor = ray_executor
    monkeypatch.setitem(sys.modules, "dagster_ray", module)
    monkeypatch.setattr(engines, "require_extra", lambda name: None)

    completed = {"ray": {"num_cpus": 1, "retries": 3}}
    for config, handed in (({}, completed), ({"processes": 8}, {**completed, "max_concurrent": 8})):
        executor_of_run.executor_creation_fn(context._replace(executor_config={**DEFAULTS, "ray": {}, **config}))
        assert seen.pop() == (ray_executor, handed, context.job, context.instance)
    with pytest.raises(DagsterInvalidConfigError, match="adress"):
        executor_of_run.executor_creation_fn(context._replace(executor_config={**DEFAULTS, "ray": {"adress": ""}}))


@pytest.mark.parametrize(("processes", "name"), [(None, "InProcessExecutor"), (3, "MultiprocessExecutor")])
def test_the_executors_of_this_machine_are_dagsters_own(context, processes, name):
    config = DEFAULTS if processes is None else {**DEFAULTS, "processes": processes}
    made = executor_of_run.executor_creation_fn(context._replace(executor_config=config))
    assert type(made).__name__ == name
    assert processes is None or made._max_concurrent == processes


def test_a_run_on_a_cluster_without_the_extra_ends_with_that_error(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / f"{MODULE}.py").write_text(DEFINITIONS)
    (tmp_path / "home").mkdir()
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"execution": {"config": {"ray": {"num_cpus": 2}}}}))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(launch, "MODULE", MODULE)
    monkeypatch.setitem(sys.modules, "dagster_ray", None)
    monkeypatch.chdir(tmp_path)
    assert launch.main(["coco", "--config", "run.yaml"]) == 2
    assert "'datasetdm[ray]'" in capsys.readouterr().err

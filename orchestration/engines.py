"""What carries out the steps of a run: this process, several on this machine, a Ray cluster, or Kubernetes."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from dagster import (
    DagsterInvalidConfigError,
    ExecutorDefinition,
    Field,
    InitExecutorContext,
    Int,
    Permissive,
    executor,
    in_process_executor,
    multiple_process_executor_requirements,
    multiprocess_executor,
)
from dagster._config import process_config
from dagster._core.executor.base import Executor

from datasetdm.errors import DatasetDMError
from datasetdm.utils.extras import require_extra

# Modules that take seconds to import; the server of processes skips what is not installed.
PRELOADED = ["orchestration.definitions", "mmdet.models", "datasetdm.downstream.dense"]

# Engine of several machines -> the extra of pyproject.toml, which has the same name, and its executor.
CLUSTERS = {"ray": ("dagster_ray", "ray_executor"), "kubernetes": ("dagster_k8s", "k8s_job_executor")}

SCHEMA = {
    "processes": Field(
        Int,
        is_required=False,
        description="Steps that run at the same time, each in a separate process. Without it: one after the other in "
        "the process of the run; on a cluster, as many as it has room for.",
    ),
    "per_device": Field(
        Int,
        default_value=1,
        description="Units that share a device (`device` of params.yaml) of this machine at the same time.",
    ),
    "ray": Field(
        Permissive(),
        is_required=False,
        description="Run the steps as jobs of a Ray cluster, with these settings of dagster-ray's `ray_executor`: "
        "`address`, and per step `num_cpus` (1), `num_gpus`, `resources`, `memory`, `env_vars`.",
    ),
    "kubernetes": Field(
        Permissive(),
        is_required=False,
        description="Run the steps as jobs of Kubernetes, with these settings of dagster-k8s's `k8s_job_executor`.",
    ),
}


def is_on_cluster(run_config: Mapping[str, Any]) -> bool:
    """Whether the steps of a run with this configuration run on other machines."""
    chosen = run_config.get("execution", {}).get("config") or {}
    return any(chosen.get(name) is not None for name in CLUSTERS)


def choose(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The engine that a run's configuration asks for, and what its executor is configured with.

    Raises:
        DatasetDMError: it asks for two.
    """
    clusters = [name for name in CLUSTERS if config.get(name) is not None]
    if len(clusters) > 1:
        raise DatasetDMError(f"The configuration of the run has {' and '.join(clusters)}: leave one of them.")
    processes = config.get("processes")
    if "ray" in clusters:
        return "ray", {"ray": {"num_cpus": 1, **config["ray"]}}  # without any number Ray would use its head node alone
    if "kubernetes" in clusters:
        return "kubernetes", dict(config["kubernetes"])
    if processes in (None, 1):
        return "in_process", {}
    # A limit of this run, not a Dagster pool: a pool's slot stays taken when its holder is killed.
    on_all = config["per_device"] * max(1, torch.cuda.device_count())
    limit = {"key": "device", "value": {"applyLimitPerUniqueValue": True}, "limit": on_all}
    # Processes are forked off one that has imported everything: a fresh one takes 10 to 20 seconds for that.
    start = {"forkserver": {"preload_modules": PRELOADED}}
    return "multiprocess", {"max_concurrent": processes, "tag_concurrency_limits": [limit], "start_method": start}


def definition(engine: str) -> ExecutorDefinition:
    """The executor of an engine; that of a cluster is imported here and nowhere else.

    Raises:
        DatasetDMError: the extra that has it is not installed.
    """
    if engine not in CLUSTERS:
        return {"in_process": in_process_executor, "multiprocess": multiprocess_executor}[engine]
    require_extra(engine)
    module, name = CLUSTERS[engine]
    found: ExecutorDefinition = getattr(import_module(module), name)
    return found


@executor(
    name="steps",
    config_schema=SCHEMA,
    requirements=lambda config: [] if choose(config)[0] == "in_process" else multiple_process_executor_requirements(),
)
def executor_of_run(context: InitExecutorContext) -> Executor:
    """Steps run in one process, as every new process has to import the libraries first.

    To run several at once, say so in the run's configuration: in the launchpad, or as `--config-json` of
    `dagster asset materialize`: `{"execution": {"config": {"processes": 4, "per_device": 2}}}`. To run them on other
    machines, add the section `ray` or `kubernetes`.

    Raises:
        DagsterInvalidConfigError: the executor does not know a setting of that section.
        DatasetDMError: see `choose` and `definition`.
    """
    engine, config = choose(context.executor_config)
    chosen = definition(engine)
    answer = process_config(chosen.config_schema.as_field().config_type, config)
    if not answer.success:
        raise DagsterInvalidConfigError(f"Wrong settings of the executor '{engine}'", answer.errors, config)
    value = dict(answer.value or {})
    if engine in CLUSTERS and "processes" in context.executor_config:
        value["max_concurrent"] = context.executor_config["processes"]  # dagster-ray reads it, but has it in no schema
    inner = InitExecutorContext(context.job, chosen, value, context.instance)
    create = chosen.executor_creation_fn
    assert create is not None  # only an executor that is hard-coded has none
    return create(inner)

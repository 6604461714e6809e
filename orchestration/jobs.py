"""One job per benchmark and one for all, and where their steps run."""

from typing import Any, TypeAlias

from dagster import (
    AssetSelection,
    Field,
    Int,
    configured,
    define_asset_job,
    multi_or_in_process_executor,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.alerts import tell_webhook
from orchestration.label_quality import GROUP

Job: TypeAlias = UnresolvedAssetJobDefinition  # what `define_asset_job` returns
EVERY_BENCHMARK = "every_benchmark"

# What takes seconds to import; the server of processes skips what is not installed.
PRELOADED = ["orchestration.definitions", "mmdet.models", "datasetdm.downstream.dense"]


def build_job(benchmark: str) -> Job:
    """The whole chain of a benchmark, under the benchmark's name."""
    return define_asset_job(
        benchmark,
        selection=AssetSelection.groups(benchmark),
        description=f"The whole chain of the benchmark {benchmark}, with its checks.",
        hooks={tell_webhook},
    )


def build_job_of_all() -> Job:
    """The chains of all benchmarks, and the leaderboard over them."""
    return define_asset_job(
        EVERY_BENCHMARK,
        selection=AssetSelection.all() - AssetSelection.groups(GROUP),
        description="The chains of all benchmarks, and the leaderboard.",
        hooks={tell_webhook},
    )


@configured(
    multi_or_in_process_executor,
    config_schema={
        "processes": Field(
            Int,
            default_value=1,
            description="Steps that run at the same time, each in a separate process; 1: all in one process.",
        ),
        "per_device": Field(
            Int,
            default_value=1,
            description="Units that share a device (`device` of params.yaml) at the same time.",
        ),
    },
)
def executor(config: dict[str, Any]) -> dict[str, Any]:
    """Steps run in one process, as every new process has to import the libraries first.

    To run several at once, say so in the run's configuration: in the launchpad, or as `--config-json` of
    `dagster asset materialize`: `{"execution": {"config": {"processes": 4, "per_device": 2}}}`.
    """
    if config["processes"] == 1:
        return {"in_process": {}}
    # Limits of this run, not Dagster pools: a pool's slot stays taken when its holder is killed.
    limit = {"key": "device", "value": {"applyLimitPerUniqueValue": True}, "limit": config["per_device"]}
    # Processes are forked off one that has imported everything: a fresh one takes 10 to 20 seconds for that.
    start = {"forkserver": {"preload_modules": PRELOADED}}
    return {
        "multiprocess": {
            "max_concurrent": config["processes"],
            "tag_concurrency_limits": [limit],
            "start_method": start,
        }
    }

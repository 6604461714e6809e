"""One job per benchmark and one for all."""

from typing import TypeAlias

from dagster import AssetSelection, define_asset_job
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.alerts import tell_webhook
from orchestration.label_quality import GROUP

Job: TypeAlias = UnresolvedAssetJobDefinition  # what `define_asset_job` returns
EVERY_BENCHMARK = "every_benchmark"


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

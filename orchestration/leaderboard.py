"""The asset over all benchmarks: their comparisons in one table."""

from dagster import AssetsDefinition, MaterializeResult, MetadataValue, asset

from datasetdm.config import Params, load_params
from datasetdm.pipeline.leaderboard import make_leaderboard
from datasetdm.pipeline.stages import STAGES
from orchestration.assets import asset_name, readable_failures


def build_leaderboard(params: Params) -> AssetsDefinition:
    """The asset `leaderboard`, made of the comparison of every benchmark that has one."""
    comparisons = [asset_name(STAGES["compare"], benchmark) for benchmark in params.benchmarks]

    @asset(
        name="leaderboard",
        group_name="leaderboard",
        deps=comparisons,
        description="Every benchmark's arms in one table, the paper's figures beside.\n\n"
        "By hand: `python -m datasetdm leaderboard`.",
        kinds={"python"},
    )
    def make() -> MaterializeResult:
        with readable_failures():
            result = make_leaderboard(load_params())
        return MaterializeResult(
            metadata={title: MetadataValue.md(table) for title, table in result.tables.items()} | dict(result.metrics)
        )

    return make

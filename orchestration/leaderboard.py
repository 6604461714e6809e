"""The asset over all benchmarks: their comparisons in one table."""

from dagster import AssetExecutionContext, AssetsDefinition, MaterializeResult, MetadataValue, asset

from datasetdm.config import Params
from datasetdm.pipeline.leaderboard import make_leaderboard
from datasetdm.pipeline.paths import reports_folder
from datasetdm.pipeline.stages import STAGES
from datasetdm.utils.program import program
from orchestration.assets import asset_name, readable_failures
from orchestration.runs import run_params


def build_leaderboard(params: Params) -> AssetsDefinition:
    """The asset `leaderboard`, made of the comparison of every benchmark that has one."""
    comparisons = [asset_name(STAGES["compare"], benchmark) for benchmark in params.benchmarks]

    @asset(
        name="leaderboard",
        group_name="leaderboard",
        deps=comparisons,
        description="Every benchmark's arms in one table, with the paper's figures.\n\n"
        f"By hand: `{program()} leaderboard`.",
        kinds={"python"},
    )
    def make(context: AssetExecutionContext) -> MaterializeResult:
        with readable_failures():
            result = make_leaderboard(run_params(context.run_id), reports_folder())
        return MaterializeResult(
            metadata={title: MetadataValue.md(table) for title, table in result.tables.items()} | dict(result.metrics)
        )

    return make

"""Asset checks: what every stage checks before it publishes, asked again of what lies there now."""

from collections.abc import Mapping

from dagster import AssetCheckResult, AssetChecksDefinition, asset_check

from datasetdm.config import Params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.engine.stage import Check, Stage
from orchestration.assets import asset_name


def build_checks(params: Params, stages: Mapping[str, Stage]) -> list[AssetChecksDefinition]:
    """One asset check per benchmark, stage and promise of the stage."""
    return [
        _asset_check(stage, check, benchmark)
        for benchmark in params.benchmarks
        for stage in stages.values()
        for check in stage.checks
    ]


def _asset_check(stage: Stage, check: Check, benchmark: str) -> AssetChecksDefinition:
    @asset_check(asset=asset_name(stage, benchmark), name=check.name, description=check.description)
    def run() -> AssetCheckResult:
        try:
            context = open_context(benchmark)
            counts = check.run(context, stage.output(context))
        except DatasetDMError as error:
            return AssetCheckResult(passed=False, description=str(error))
        return AssetCheckResult(passed=True, metadata=dict(counts))

    return run

"""Asset checks: what every stage checks before it publishes, checked again on what is published now, and advice."""

from collections.abc import Mapping

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    asset_check,
)

from datasetdm.config import Params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.stage import Check, Stage
from orchestration.assets import asset_name
from orchestration.runs import open_run


def build_checks(params: Params, stages: Mapping[str, Stage[Context]]) -> list[AssetChecksDefinition]:
    """One asset check per benchmark, stage and promise of the stage."""
    return [
        _asset_check(stage, check, benchmark)
        for benchmark in params.benchmarks
        for stage in stages.values()
        for check in stage.checks
    ]


def _asset_check(stage: Stage[Context], check: Check[Context], benchmark: str) -> AssetChecksDefinition:
    @asset_check(asset=asset_name(stage, benchmark), name=check.name, description=check.description)
    def run(context: AssetCheckExecutionContext) -> AssetCheckResult:
        try:
            opened = open_run(benchmark, context.op_execution_context.run_id)
            counts = check.run(opened, stage.output(opened))
        except DatasetDMError as error:
            severity = AssetCheckSeverity.WARN if check.advice else AssetCheckSeverity.ERROR
            return AssetCheckResult(passed=False, severity=severity, description=str(error))
        return AssetCheckResult(passed=True, metadata=dict(counts))

    return run

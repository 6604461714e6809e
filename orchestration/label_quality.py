"""The asset of each benchmark's doubtful labels.

It is no stage of the chain and in no job: a model looks at every image once more, which a person asks for.
"""

from dagster import AssetExecutionContext, AssetsDefinition, MaterializeResult, asset

from datasetdm.config import Params
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.labels.report import STAGE
from datasetdm.utils.program import program
from orchestration.assets import asset_name, readable_failures
from orchestration.metadata import describe
from orchestration.runs import open_run

GROUP = "label_quality"


def build_label_quality(params: Params) -> list[AssetsDefinition]:
    """One asset per benchmark, made of its real and synthetic images and of its downstream models."""
    return [_asset(benchmark) for benchmark in params.benchmarks]


def _asset(benchmark: str) -> AssetsDefinition:
    @asset(
        name=asset_name(STAGE, benchmark),
        group_name=GROUP,
        deps=[asset_name(stage, benchmark) for stage in STAGE.upstream],
        description=f"{STAGE.description}\n\nBy hand: `{program()} labels {benchmark}`.",
        code_version=STAGE.code_version,
        kinds={"python"},
    )
    def make(context: AssetExecutionContext) -> MaterializeResult:
        with readable_failures():
            opened = open_run(benchmark, context.run_id)
            result = run_stage(STAGE, opened)
        return MaterializeResult(metadata=describe(result, STAGE.output(opened)))

    return make

"""The chain: one verb per stage, called alike by the command line, DVC and Dagster."""

from datasetdm.stages import (
    annotate,
    augment,
    compare,
    ingest,
    synthesize,
    train_decoder,
    train_downstream,
    write_prompts,
)
from datasetdm.stages.context import Context, open_context
from datasetdm.stages.stage import Check, Stage, finish_stage, run_stage

STAGES: dict[str, Stage] = {
    module.STAGE.name: module.STAGE
    for module in (ingest, train_decoder, write_prompts, synthesize, annotate, augment, train_downstream, compare)
}

__all__ = ["STAGES", "Check", "Context", "Stage", "finish_stage", "open_context", "run_stage"]

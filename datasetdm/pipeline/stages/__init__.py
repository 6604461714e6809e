"""The chain: one verb per stage, called alike by the command line, DVC and Dagster."""

from datasetdm.pipeline.engine.stage import Stage
from datasetdm.pipeline.stages import (
    adapt,
    annotate,
    augment,
    compare,
    ingest,
    synthesize,
    train_decoder,
    train_downstream,
    write_prompts,
)

STAGES: dict[str, Stage] = {
    module.STAGE.name: module.STAGE
    for module in (
        ingest,
        adapt,
        train_decoder,
        write_prompts,
        synthesize,
        annotate,
        augment,
        train_downstream,
        compare,
    )
}

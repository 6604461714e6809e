"""Stage `augment`: images spliced out of the synthetic ones, per seed."""

from pathlib import Path

from datasetdm.augmentation import augment
from datasetdm.stages.checks import publish_checked
from datasetdm.stages.context import Context, missing
from datasetdm.stages.stage import Check, Stage
from datasetdm.structures import StageResult


def finish(context: Context) -> StageResult:
    """Splice the accepted images of every seed."""
    task, metrics = context.task(), {}
    if not context.paths.synthetic.exists():
        raise missing(context, context.paths.synthetic, "synthesize")
    with publish_checked(context, STAGE, context.paths.augmented) as folder:
        for seed in context.seeds:
            samples = task.load(context.paths.synthetic, f"seed_{seed}")
            task.save(
                folder, f"seed_{seed}", augment(task, samples, context.settings.augmentation, prefix=f"seed_{seed}")
            )
            metrics[f"seed_{seed}/images"] = float(len(task.load(folder, f"seed_{seed}")))
    return StageResult(metrics=metrics)


def _check(context: Context, folder: Path) -> dict[str, int]:
    task = context.task()
    return {f"seed_{seed}": task.check(folder, f"seed_{seed}")["images"] for seed in context.seeds}


STAGE = Stage(
    name="augment",
    asset="augmented",
    description="Several synthetic images spliced into one, with their annotations (the paper's augmentation).",
    upstream=("ingest", "synthesize"),
    parameters=("task", "seeds", "augmentation"),
    finish=finish,
    output=lambda context: context.paths.augmented,
    checks=(
        Check(
            name="annotations_valid",
            description="Annotations load, ids are unique, masks lie inside their images.",
            run=_check,
        ),
    ),
)

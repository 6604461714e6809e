"""Stage `augment`: images spliced out of the synthetic ones, and for the controls out of others; a unit is one set."""

from pathlib import Path

from datasetdm.augmentation import augment
from datasetdm.stages.checks import publish_checked
from datasetdm.stages.context import Context, missing
from datasetdm.stages.stage import Check, Stage
from datasetdm.stages.units import annotated_set, digest, make_unit, publish_unit
from datasetdm.structures import StageResult


def sources(context: Context) -> dict[str, tuple[Path, str, str]]:
    """The spliced sets: name -> folder and subset that it is spliced out of, and the stage that makes that.

    Beside the synthetic images those of the arms `real_augmented` and `pseudo`, where they are asked for: by the same
    settings, so that these arms have no less of it than `synthetic` and `both`.
    """
    paths, arms = context.paths, context.settings.downstream.arms
    found = {f"seed_{seed}": (paths.synthetic, f"seed_{seed}", "synthesize") for seed in context.seeds}
    if "real_augmented" in arms:
        found |= {f"real_{seed}": (paths.real, f"few_shot_{seed}", "ingest") for seed in context.seeds}
    if "pseudo" in arms:
        found |= {f"pseudo_{seed}": (paths.pseudo, f"seed_{seed}", "annotate") for seed in context.seeds}
    return found


def plan(context: Context) -> list[str]:
    """The sets that are not spliced yet."""
    return [subset for subset in sources(context) if not _unit(context, subset).exists()]


def run_unit(context: Context, key: str) -> None:
    """Splice one set."""
    source, subset, _ = sources(context)[key]

    def work(folder: Path) -> None:
        task = context.task()
        spliced = augment(task, task.load(source, subset), context.settings.augmentation, prefix=key)
        (folder / "images").mkdir()
        task.save(folder, key, spliced)

    make_unit(_unit(context, key), work)


def finish(context: Context) -> StageResult:
    """Publish the spliced images of every set."""
    task = context.task()
    with publish_checked(context, STAGE, context.paths.augmented) as folder:
        for subset in sources(context):
            publish_unit(_unit(context, subset), folder)
        metrics = {f"{subset}/images": float(len(task.load(folder, subset))) for subset in sources(context)}
    return StageResult(metrics=metrics)


def _unit(context: Context, key: str) -> Path:
    context.task()  # without the real images nothing else is there either
    source, subset, stage = sources(context)[key]
    file = source / "annotations" / f"{subset}.json"
    if not file.exists():
        raise missing(context, file, stage)
    fingerprint = digest(key, context.settings.task, context.settings.augmentation, *annotated_set(source, subset))
    return context.paths.work("augment") / fingerprint


def _check(context: Context, folder: Path) -> dict[str, int]:
    task = context.task()
    return {subset: task.check(folder, subset)["images"] for subset in sources(context)}


STAGE = Stage(
    name="augment",
    asset="augmented",
    description="Several synthetic images spliced into one, with their annotations (the paper's augmentation).",
    upstream=("ingest", "synthesize", "annotate"),
    parameters=("task", "seeds", "augmentation", "downstream.arms"),
    plan=plan,
    run_unit=run_unit,
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

"""Stage `train_downstream`: the ordinary model on every arm and seed; a unit is one training.

A unit is named by the data of its own arm, so `real` is not trained again because the decoder changed.
"""

import json
import shutil
from pathlib import Path

from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.errors import DatasetDMError
from datasetdm.stages.checks import publish_checked
from datasetdm.stages.context import Context, missing
from datasetdm.stages.record import crown, experiment, finite, log_curves, record
from datasetdm.stages.stage import Check, Stage
from datasetdm.stages.units import digest, make_unit, unit_seconds
from datasetdm.structures import StageResult

# Trained on labels that nobody has in earnest: measured, but never offered for use in the model registry.
CONTROLS = frozenset({"oracle"})


def plan(context: Context) -> list[str]:
    """The trainings that are missing, as `<arm>/<seed>`."""
    return [key for key in keys(context) if not _unit(context, key).exists()]


def keys(context: Context) -> list[str]:
    """All trainings of the benchmark."""
    return [f"{arm}/{seed}" for seed in context.seeds for arm in context.settings.downstream.arms]


def run_unit(context: Context, key: str) -> None:
    """Train one arm with one seed."""
    settings = context.settings
    real = context.paths.real

    def work(folder: Path) -> None:
        DOWNSTREAM[settings.task.name].train(
            settings.downstream,
            task=context.task(),
            datasets=_datasets(context, key),
            dev=Labelled(folder=real, subset="dev"),
            seed=int(key.split("/")[1]),
            out=folder,
            device=context.params.backbone.device,
        )

    make_unit(_unit(context, key), work)


def finish(context: Context) -> StageResult:
    """Publish the models, with their dev figures."""
    with publish_checked(context, STAGE, context.paths.downstream) as folder:
        for key in keys(context):
            shutil.copytree(_unit(context, key), folder / key)
    metrics: dict[str, float] = {}
    for key in keys(context):
        metrics |= {f"{key}/{name}": value for name, value in _record(context, key).items()}
    if set(context.settings.downstream.arms) - CONTROLS:
        crown(context, "downstream")
    return StageResult(metrics=metrics)


def _record(context: Context, key: str) -> dict[str, float]:
    """Tell MLflow of one training; returns its dev figures."""
    arm, seed = key.split("/")
    folder, paths = context.paths.downstream / key, context.paths
    figures = finite(json.loads((folder / "metrics.json").read_text()))
    known = {paths.real: "real", paths.synthetic: "synthetic", paths.augmented: "augmented"}
    used = {part.folder for part in _datasets(context, key)}
    inputs = {f"{name}_{context.benchmark}": path for path, name in known.items() if path in used}
    seconds = unit_seconds(_unit(context, key))
    with record(context, STAGE, inputs=inputs, output=folder, seconds=seconds, arm=arm, seed=seed) as run:
        run.log_metrics({f"dev/{name}": value for name, value in figures.items()})
        log_curves(run, folder / "curves.csv")
        if arm not in CONTROLS:
            run.register_model(
                f"{experiment(context)}_downstream",
                folder,
                loader=f"{DOWNSTREAM[context.settings.task.name].module}:load",
            )
    return figures


def _datasets(context: Context, key: str) -> list[Labelled]:
    """The annotated images that an arm is trained on, with their share of a batch."""
    arm, seed = key.split("/")
    paths, settings = context.paths, context.settings.downstream
    real = [(paths.real, f"few_shot_{seed}", "ingest")]
    made = [(paths.synthetic, f"seed_{seed}", "synthesize"), (paths.augmented, f"seed_{seed}", "augment")]
    oracle = [(paths.real, "oracle", "ingest")]
    groups = {
        "real": [(1.0, real)],
        "synthetic": [(1.0, made)],
        "both": [(settings.real_weight, real), (1.0 - settings.real_weight, made)],
        "oracle": [(1.0, oracle)],
    }[arm]
    return [part for share, sources in groups for part in _weighted(context, share, sources)]


def _weighted(context: Context, share: float, sources: list[tuple[Path, str, str]]) -> list[Labelled]:
    """Sources that share a weight in proportion to their number of images."""
    task = context.task()
    counts = []
    for folder, subset, stage in sources:
        if not (folder / "annotations" / f"{subset}.json").exists():
            raise missing(context, folder / "annotations" / f"{subset}.json", stage)
        counts.append(len(task.load(folder, subset)))
    return [
        Labelled(folder=folder, subset=subset, weight=share * count / sum(counts))
        for count, (folder, subset, _) in zip(counts, sources, strict=True)
        if count
    ]


def _unit(context: Context, key: str) -> Path:
    settings = context.settings.downstream
    # Which other arms there are, and what `both` mixes, is no property of a single training.
    own = settings.model_dump(exclude={"arms", "real_weight", "pretrained"})
    datasets = [(part.annotation_file, part.weight) for part in _datasets(context, key)]
    pretrained = Path(settings.pretrained) if settings.pretrained else None
    if pretrained is not None and not pretrained.exists():
        raise DatasetDMError(
            f"{pretrained} is missing: downstream.pretrained in params.yaml names the folder with the "
            f"detector's backbone weights; put it there, or set it to null to start from random weights."
        )
    parts = [part for file, weight in datasets for part in (file, round(weight, 6))]
    dev = context.paths.real / "annotations" / "dev.json"
    fingerprint = digest(own, context.settings.task, key, pretrained or "", dev, *parts)
    return context.paths.work("train_downstream") / fingerprint


def _check_loads(context: Context, folder: Path) -> dict[str, int]:
    for key in keys(context):
        DOWNSTREAM[context.settings.task.name].load(folder / key)
    return {"models": len(keys(context))}


STAGE = Stage(
    name="train_downstream",
    asset="downstream",
    description="An ordinary model of the task, trained on real, synthetic, both and the controls.",
    upstream=("ingest", "synthesize", "augment"),
    parameters=("task", "seeds", "downstream"),
    plan=plan,
    run_unit=run_unit,
    finish=finish,
    output=lambda context: context.paths.downstream,
    checks=(Check(name="models_load", description="Every trained model loads back.", run=_check_loads),),
)

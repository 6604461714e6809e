"""Stage `train_downstream`: the ordinary model on every arm and seed; a unit is one training.

A unit is named by the data of its own arm, so `real` is not trained again because the decoder changed.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasetdm.datasets.standard.annotated_set import annotated_set, count_images
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.downstream.weights import weights_file
from datasetdm.pipeline.context import Context, missing, release_backbone
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage, publish_checked
from datasetdm.pipeline.engine.units import make_unit, resume_folder, unit_seconds
from datasetdm.pipeline.record import crown, finite, judged_by, log_curves, record
from datasetdm.pipeline.self_training import SPLICED, TAUGHT, labels_unit, make_labels
from datasetdm.pipeline.stages import annotate, augment, ingest, synthesize
from datasetdm.utils.digests import digest
from datasetdm.utils.files import read_json, write_json

# Trained to be compared with: measured, but never offered for use in the model registry.
CONTROLS = frozenset({"oracle", "real_augmented", "self_training", "pseudo"})

# Which other arms there are, what they mix and what their labels are is no property of a single training; what it is
# trained on is looked at instead.
_NOT_OF_A_TRAINING = {"arms", "p_decoder", "real_weight", "self_training_threshold", "pretrained", "checkpoint_every"}

Groups = list[tuple[float, list[tuple[Path, str, str]]]]


def units(context: Context) -> dict[str, list[Path]]:
    """The trainings, as `<arm>/<seed>`."""
    return {key: [_unit(context, key)] for key in keys(context)}


def keys(context: Context) -> list[str]:
    """All trainings of the benchmark."""
    return [f"{arm}/{seed}" for seed in context.seeds for arm in context.settings.downstream.arms]


def run_unit(context: Context, key: str) -> None:
    """Train one arm with one seed; for `self_training` its teacher first, unless it is there."""
    arm, seed = key.split("/")
    if arm == "self_training":
        run_unit(context, f"real/{seed}")
        make_labels(context, seed, _unit(context, f"real/{seed}"))

    unit = _unit(context, key)

    def work(folder: Path) -> None:
        train(context, _datasets(context, key), int(seed), folder, resume=resume_folder(unit))
        if arm == "self_training":
            write_json(folder / "labels.json", {"images": count_images(_labels(context, seed), TAUGHT)})

    make_unit(unit, work)


def trained(context: Context, key: str) -> Path:
    """The folder of a training, which is made now if it is missing."""
    run_unit(context, key)
    return _unit(context, key)


def dev_figures(context: Context, key: str) -> dict[str, float]:
    """What a training, made now if it is missing, reached on dev."""
    file = trained(context, key) / "metrics.json"
    figures: dict[str, float] = read_json(file, remedy="Remove it; it is made again.")
    return figures


def train(context: Context, datasets: Sequence[Labelled], seed: int, folder: Path, *, resume: Path) -> None:
    """Train the benchmark's model on these sets and write it to `folder`, with its dev figures in `metrics.json`.

    A training that was cut off resumes from its last checkpoint, in `resume`.
    """
    settings = context.settings
    release_backbone()  # synthesis, in the same process, has left it on the GPU
    DOWNSTREAM[settings.task.name].train(
        settings.downstream,
        task=context.task(),
        datasets=datasets,
        dev=Labelled(folder=context.paths.real, subset="dev"),
        seed=seed,
        out=folder,
        device=context.params.backbone.device,
        resume=resume,
    )


def fingerprint(context: Context, *data: Any) -> str:
    """The name of a training: all that it depends on beside `data`, what it is trained on and with which seed.

    Raises:
        DatasetDMError: the weights that it starts from are missing.
    """
    settings = context.settings.downstream
    own = settings.model_dump(exclude=_NOT_OF_A_TRAINING)
    pretrained = weights_file(settings.pretrained).parent if settings.pretrained else ""
    dev = annotated_set(context.paths.real, "dev")
    return digest(own, context.settings.task, pretrained, dev, *data)


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
    known = {paths.real: "real", paths.synthetic: "synthetic", paths.pseudo: "pseudo", paths.augmented: "augmented"}
    used = {source for _, sources in _groups(context, key) for source, _, _ in sources}
    inputs = {f"{name}_{context.benchmark}": path for path, name in known.items() if path in used}
    seconds = unit_seconds(_unit(context, key))
    tags = {"arm": arm, "seed": seed, **judged_by(context)}
    with record(context, STAGE, inputs=inputs, output=folder, seconds=seconds, **tags) as run:
        run.log_metrics({f"dev/{name}": value for name, value in figures.items()})
        log_curves(run, folder / "curves.csv")
        if arm not in CONTROLS:
            run.register_model(
                f"{context.experiment}_downstream",
                folder,
                loader=DOWNSTREAM[context.settings.task.name].loader,
                takes_boxes=context.task().takes_hints,
            )
    return figures


def _datasets(context: Context, key: str) -> list[Labelled]:
    """The annotated images that an arm is trained on, with their share of a batch."""
    return mixture(context, _groups(context, key))


def mixture(context: Context, groups: Groups) -> list[Labelled]:
    """Annotated images with their share of a batch; a group's share is split in proportion to numbers of images.

    Args:
        context: the benchmark.
        groups: share of a batch, and its sources: folder, subset and the stage that makes it.

    Raises:
        DatasetDMError: a source is missing.
    """
    return [part for share, sources in groups for part in _weighted(context, share, sources)]


def _groups(context: Context, key: str) -> Groups:
    """What an arm is trained on: shares of a batch, each with its sources (folder, subset, stage that makes it).

    `real_augmented` and `self_training` have as many plain real images in a batch as `both`; the other half is spliced
    out of these, or labelled by the teacher. `pseudo` is to real images what `synthetic` is to drawn ones.
    """
    arm, seed = key.split("/")
    paths, real_weight = context.paths, context.settings.downstream.real_weight
    real = [(paths.real, f"few_shot_{seed}", "ingest")]
    made = [(paths.synthetic, f"seed_{seed}", "synthesize"), (paths.augmented, f"seed_{seed}", "augment")]
    if arm == "self_training":
        labels = _labels(context, seed)
        made = [(labels, TAUGHT, "train_downstream"), (labels, SPLICED, "train_downstream")]
    groups: dict[str, Groups] = {
        "real": [(1.0, real)],
        "synthetic": [(1.0, made)],
        "both": [(real_weight, real), (1.0 - real_weight, made)],
        "oracle": [(1.0, [(paths.real, "oracle", "ingest")])],
        "real_augmented": [(real_weight, real), (1.0 - real_weight, [(paths.augmented, f"real_{seed}", "augment")])],
        "self_training": [(real_weight, real), (1.0 - real_weight, made)],
        "pseudo": [(1.0, [(paths.pseudo, f"seed_{seed}", "annotate"), (paths.augmented, f"pseudo_{seed}", "augment")])],
    }
    return groups[arm]


def _labels(context: Context, seed: str) -> Path:
    """Where the teacher's labels lie, or will lie."""
    return labels_unit(context, seed, _unit(context, f"real/{seed}"))


def _weighted(context: Context, share: float, sources: list[tuple[Path, str, str]]) -> list[Labelled]:
    """Sources that share a weight in proportion to their number of images."""
    context.task()  # without the real images nothing else is there either
    counts = []
    for folder, subset, stage in sources:
        if not (folder / "annotations" / f"{subset}.json").exists():
            raise missing(context, folder / "annotations" / f"{subset}.json", stage)
        counts.append(count_images(folder, subset))
    return [
        Labelled(folder=folder, subset=subset, weight=share * count / sum(counts))
        for count, (folder, subset, _) in zip(counts, sources, strict=True)
        if count
    ]


def _unit(context: Context, key: str) -> Path:
    return context.paths.work("train_downstream") / fingerprint(context, key, *_data(context, key))


def _data(context: Context, key: str) -> list[Any]:
    """What the data of a training are known by: annotated sets, each with its weight.

    For `self_training`, whose labels are made when it is trained, the name of their unit stands for them.
    """
    arm, seed = key.split("/")
    if arm == "self_training":
        weight = round(context.settings.downstream.real_weight, 6)
        return [*_data(context, f"real/{seed}"), weight, _labels(context, seed).name]
    return [
        [*annotated_set(source.folder, source.subset), round(source.weight, 6)] for source in _datasets(context, key)
    ]


def _check_loads(context: Context, folder: Path) -> dict[str, int]:
    for key in keys(context):
        DOWNSTREAM[context.settings.task.name].load(folder / key, "cpu")
    return {"models": len(keys(context))}


STAGE = Stage(
    name="train_downstream",
    asset="downstream",
    description="An ordinary model of the task, trained on real, synthetic, both and the controls.",
    upstream=(ingest.STAGE, synthesize.STAGE, annotate.STAGE, augment.STAGE),
    parameters=("task", "seeds", "downstream", "synthesis"),
    units=units,
    run_unit=run_unit,
    finish=finish,
    output=lambda context: context.paths.downstream,
    checks=(Check(name="models_load", description="Every trained model loads back.", run=_check_loads),),
)

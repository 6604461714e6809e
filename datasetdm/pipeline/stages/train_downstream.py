"""Stage `train_downstream`: the ordinary model on every arm and seed; a unit is one training.

A unit is named by the data of its arm alone, so `real` is not trained again because the decoder changed.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from datasetdm.arms import ARMS, LABELLED, TAUGHT, Output, Source, Training
from datasetdm.datasets.standard.annotated_set import count_images
from datasetdm.downstream import DOWNSTREAM
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from datasetdm.pipeline.engine.units import make_unit, resume_folder, unit_times
from datasetdm.pipeline.experiment_log import (
    DEV,
    PICTURES,
    finite,
    judged_by,
    log_curves,
    log_figures,
    logged_run,
    promote_champion,
)
from datasetdm.pipeline.model_log import dev_picture, register_model
from datasetdm.pipeline.reviewed.mixing import WORK as CORRECTED_WORK
from datasetdm.pipeline.reviewed.mixing import corrected_folder, corrected_groups, make_corrected, mixes_reviewed
from datasetdm.pipeline.stages import annotate, augment, ingest, synthesize
from datasetdm.pipeline.teacher_labels import WORK as TAUGHT_WORK
from datasetdm.pipeline.teacher_labels import labels_folder, make_labels
from datasetdm.pipeline.training import (
    Group,
    Location,
    check_installed,
    dependencies,
    mixing,
    mixture,
    train,
    with_labelled,
)
from datasetdm.pipeline.unlabelled_images import labelling
from datasetdm.utils.digests import digest
from datasetdm.utils.files import read_json, write_json

CODE_VERSION = "1"
PUBLISHED: set[str] = {"real", "synthetic", "pseudo", "augmented"}  # kinds of sets that a stage has published


@dataclass(frozen=True, kw_only=True)
class Job:
    """What it takes to make a training.

    Attributes:
        training: arm and seed.
        groups: what it is trained on.
        teacher: the training that labels images for it, if any; it is made first.
        labels: where these labels are.
        corrected: where the arm's sets are without what a person has corrected, if it takes corrected labels.
    """

    training: Training
    groups: Sequence[Group]
    teacher: Unit | None = None
    labels: Path | None = None
    corrected: Path | None = None


def trainings(context: Context) -> list[Training]:
    """All trainings of the benchmark."""
    return [Training(arm, seed) for seed in context.seeds for arm in context.settings.experiment.arms]


def units(context: Context) -> Iterator[Unit]:
    """All trainings of the benchmark, made or not."""
    return plan_trainings(context, trainings(context))


def plan_trainings(context: Context, wanted: Iterable[Training]) -> Iterator[Unit]:
    """These trainings as units, each with its `Job`.

    Raises:
        DatasetDMError: an annotated set is missing, or the weights that the model starts from are.
    """
    context.task()  # if the real images are missing, that is the first thing to say
    sets, common = AnnotatedSets(), fingerprint(context)
    further_images = cache(lambda: labelling(context))  # read only if an arm has a teacher

    @cache  # a teacher is a training of the plan, too
    def unit_of(training: Training) -> Unit:
        teacher_arm = ARMS[training.arm].teacher
        data: list[Any]
        if mixes_reviewed(context, training.arm):
            corrected = corrected_folder(context, *training)
            job = Job(training=training, groups=corrected_groups(context, *training, corrected), corrected=corrected)
            # The sets are made when it is trained: the name of their unit stands for them.
            data = [corrected.name, *mixing(context)]
        elif teacher_arm is None:
            groups = _groups(context, training)
            data = [
                [sets.identity(part.folder, part.subset), round(part.weight, 6), round(part.until, 6)]
                for part in mixture(groups, context, sets)
            ]
            job = Job(training=training, groups=groups)
        else:
            teacher = unit_of(Training(teacher_arm, training.seed))
            labels = labels_folder(context, training.seed, teacher.folder, further_images())
            job = Job(training=training, groups=_groups(context, training, labels), teacher=teacher, labels=labels)
            # The labels are made when it is trained: the name of their unit, which says what they depend on, stands
            # for them.
            data = [teacher.folder.name, *mixing(context), labels.name]
        folder = STAGE.folder(context, common, str(training), data)
        return Unit(key=str(training), folders=(folder,), payload=job)

    return map(unit_of, wanted)


def _rests_on(context: Context, plan: Plan) -> Iterator[Path]:
    """The teachers of the trainings, which need not be of the plan, and the sets that are made for them."""
    for unit in plan:
        job: Job = unit.payload
        yield from filter(None, (job.teacher and job.teacher.folder, job.labels, job.corrected))


def make(context: Context, unit: Unit) -> None:
    """Train one arm with one seed; its teacher first, if it has one and that is missing."""
    job: Job = unit.payload
    if job.teacher and job.labels:
        make(context, job.teacher)
        make_labels(context, job.training.seed, job.teacher.folder, job.labels)

    if job.corrected:
        make_corrected(context, *job.training, job.corrected)

    def work(folder: Path) -> None:
        datasets = mixture(job.groups, context, AnnotatedSets())
        train(context, datasets, job.training.seed, folder, resume=resume_folder(unit.folder))
        if job.labels:
            write_json(folder / "labels.json", {"images": count_images(job.labels, TAUGHT.name)})

    make_unit(unit.folder, work)


def trained(context: Context, training: Training) -> Path:
    """The folder of a training, which is made now if it is missing."""
    (unit,) = plan_trainings(context, [training])
    make(context, unit)
    return unit.folder


def dev_figures(context: Context, training: Training) -> dict[str, float]:
    """The figures of a training on dev; it is made now if it is missing."""
    file = trained(context, training) / "metrics.json"
    figures: dict[str, float] = read_json(file, remedy="Remove it; it is made again.")
    return figures


def fingerprint(context: Context) -> str:
    """All that any training depends on, the code of this stage among it, except for its data and its seed.

    Raises:
        DatasetDMError: the weights that it starts from are missing.
    """
    return digest(CODE_VERSION, *dependencies(context))


def finish(context: Context, plan: Plan) -> StageResult:
    """Publish the models, with their dev figures."""
    with publish_checked(STAGE, context) as folder:
        for unit in plan:
            shutil.copytree(unit.folder, folder / unit.key)
    metrics: dict[str, float] = {}
    pictures, sets = [], AnnotatedSets()
    for unit in plan:
        figures, picture = _log(context, unit, sets)
        metrics |= {f"{unit.key}/{name}": value for name, value in figures.items()}
        pictures.append(str(picture))
    if not all(ARMS[arm].control for arm in context.settings.experiment.arms):
        promote_champion(context, "downstream", DEV)
    return StageResult(metrics=metrics, pictures=pictures)


def _log(context: Context, unit: Unit, sets: AnnotatedSets) -> tuple[dict[str, float], Path]:
    """Log one training, and register its model unless it is a control; returns its dev figures and picture."""
    training, folder = unit.payload.training, context.paths.downstream / unit.key
    family = DOWNSTREAM[context.settings.task.name]
    figures = finite(json.loads((folder / "metrics.json").read_text()))
    facts = {"arm": training.arm, "seed": training.seed, **_sizes(context, unit.payload, sets)}
    inputs, times, family = (
        _inputs(context, unit.payload),
        unit_times([unit.folder]),
        DOWNSTREAM[context.settings.task.name],
    )
    picture = dev_picture(context, unit.key, family.load(folder, device=context.params.device))
    with logged_run(
        context, STAGE, inputs=inputs, output=folder, times=times, name=unit.key, facts=facts, **judged_by(context)
    ) as run:
        log_figures(run, DEV, figures, context.task().headline)
        log_curves(run, folder / "curves.csv")
        run.log_artifact(picture, PICTURES)
        if not ARMS[training.arm].control:
            register_model(
                context,
                run,
                "downstream",
                folder,
                family.loader,
                facts=facts,
                figures=figures,
                inputs=inputs,
                takes_boxes=context.task().uses_prompt_boxes,
                extra=family.extra,
            )
    return figures, picture


def _sources(context: Context, job: Job) -> dict[str, list[tuple[Path, str]]]:
    """Where the images of a training come from: the kind of set -> folders and subsets."""
    paths = context.paths
    known = {paths.real: "real", paths.synthetic: "synthetic", paths.pseudo: "pseudo", paths.augmented: "augmented"}
    if job.corrected:
        known[job.corrected] = "without_corrected"
    found: dict[str, list[tuple[Path, str]]] = {}
    for group in job.groups:
        for folder, subset, _ in group.sources:
            found.setdefault(known.get(folder, "labelled_by_teacher"), []).append((folder, subset))
    return found


def _sizes(context: Context, job: Job, sets: AnnotatedSets) -> dict[str, int]:
    """The number of images that a training saw, in all and of each kind."""
    counts = {
        kind: sum(sets.count(folder, subset) for folder, subset in parts)
        for kind, parts in _sources(context, job).items()
    }
    return {"images": sum(counts.values()), **{f"images.{kind}": count for kind, count in counts.items()}}


def _inputs(context: Context, job: Job) -> dict[str, Path]:
    """The published sets that a training read, by name."""
    published = {kind: parts[0][0] for kind, parts in _sources(context, job).items() if kind in PUBLISHED}
    if job.corrected:
        outputs = {source.output for source in ARMS[job.training.arm].sources} & PUBLISHED
        published |= {output: getattr(context.paths, output) for output in sorted(outputs)}
    return {f"{kind}_{context.benchmark}": folder for kind, folder in published.items()}


def _groups(context: Context, training: Training, labels: Path | None = None) -> list[Group]:
    """What an arm is trained on; `labels` is where those of its teacher are."""

    def folder(output: Output) -> Path:
        found: Path | None = labels if output == "teacher_labels" else getattr(context.paths, output)
        assert found is not None, "an arm with a teacher is trained on the teacher's labels"
        return found

    def located(sources: Iterable[Source]) -> list[Location]:
        return [(folder(source.output), source.subset(training.seed), source.stage) for source in sources]

    arm = ARMS[training.arm]
    if arm.with_labelled:
        return with_labelled(context, located([LABELLED]), located(arm.sources))
    return [Group(1.0, located(arm.sources))]


def _check_loads(context: Context, folder: Path) -> dict[str, int]:
    wanted = trainings(context)
    for training in wanted:
        DOWNSTREAM[context.settings.task.name].load(folder / str(training), "cpu")
    return {"models": len(wanted)}


STAGE: Stage[Context] = Stage(
    name="train_downstream",
    asset="downstream",
    description="An ordinary model of the task, trained on real, synthetic, both and the controls.",
    upstream=(ingest.STAGE, synthesize.STAGE, annotate.STAGE, augment.STAGE),
    parameters=("task", "seeds", "downstream", "experiment", "synthesis.filter"),
    code_version=CODE_VERSION,
    units=units,
    make=make,
    further_work=(TAUGHT_WORK, CORRECTED_WORK),
    rests_on=_rests_on,
    finish=finish,
    output=lambda context: context.paths.downstream,
    check_ready=check_installed,
    checks=(Check(name="models_load", description="Every trained model loads back.", run=_check_loads),),
)

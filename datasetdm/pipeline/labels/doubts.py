"""The doubts of a trained model about the labels of a set. What was judged is kept, as a unit per set and model."""

from dataclasses import asdict, dataclass
from pathlib import Path

from datasetdm.arms import ARMS, LABELLED, Source, Training
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.downstream import DOWNSTREAM
from datasetdm.downstream.evaluation import predictions
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.label_quality import Doubt, build_quality
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.utils.digests import digest
from datasetdm.utils.files import read_json, write_json
from datasetdm.utils.program import program
from datasetdm.utils.progress import say

CODE_VERSION = "1"


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A trained model that judges labels.

    Attributes:
        training: arm and seed.
        folder: where it lies.
        apart: whether it has not learnt from these labels. Of those that it has learnt from it finds fewer mistakes.
    """

    training: Training
    folder: Path
    apart: bool

    def __str__(self) -> str:
        return f"the model of {self.training}" + ("" if self.apart else ", which has learnt from these labels")


def choose_judge(context: Context, source: Source, seed: int) -> Judge:
    """The model with the best figure on dev, if possible one that has not learnt from the labels of `source`.

    Raises:
        DatasetDMError: no model is trained yet.
    """
    trained = [
        Training(arm, seed)
        for arm in context.settings.experiment.arms
        if (context.paths.downstream / arm / str(seed) / "metrics.json").exists()
    ]
    if not trained:
        raise missing(context, context.paths.downstream, "train_downstream")
    apart = [training for training in trained if not _learns_from(training.arm, source)]
    best = max(apart or trained, key=lambda training: _on_dev(context, training))
    return Judge(training=best, folder=context.paths.downstream / str(best), apart=bool(apart))


def doubts(context: Context, source: Source, seed: int, judge: Judge) -> dict[str, Doubt]:
    """Image name -> what the judge says of its labels, in the order of the set.

    Raises:
        DatasetDMError: the set is missing, or nothing judges labels of this task.
    """
    root, subset = getattr(context.paths, source.output), source.subset(seed)
    if not annotation_file(root, subset).exists():
        raise missing(context, annotation_file(root, subset), source.stage)
    weights = [judge.folder / "model.safetensors", judge.folder / "config.json"]
    name = digest(CODE_VERSION, context.settings.task, *weights, AnnotatedSets().identity(root, subset))
    unit = context.paths.work("doubts") / name
    make_unit(unit, lambda folder: _judge(context, root, subset, judge, folder))
    found = read_json(unit / "doubts.json", remedy="Remove it; it is made again.")
    return {image: Doubt(**record) for image, record in found.items()}


def _judge(context: Context, root: Path, subset: str, judge: Judge, folder: Path) -> None:
    task = context.task()
    say(f"{subset} of {root}: judged by {judge}")
    quality = build_quality(*task.kind)
    model = DOWNSTREAM[task.name].load(judge.folder, device=context.params.device)
    names = []
    for sample, found in predictions(model, task, standard_format(*task.kind).load(root, subset)):
        quality.add(sample.target, found)
        names.append(sample.name)
    judged = zip(names, quality.compute(), strict=True)
    write_json(folder / "doubts.json", {name: asdict(doubt) for name, doubt in judged})


def _learns_from(arm: str, source: Source) -> bool:
    """Whether the model of an arm has seen these labels; splices of them count."""
    if source == LABELLED:
        # The P-Decoder has learnt from them, too, but no label of a drawn image is a copy of one of theirs.
        return ARMS[arm].with_labelled or LABELLED in ARMS[arm].sources or ARMS[arm].teacher is not None
    return any(source in (own, own.spliced_from) for own in ARMS[arm].sources)


def _on_dev(context: Context, training: Training) -> float:
    """The primary metric on dev, the higher the better."""
    file = context.paths.downstream / str(training) / "metrics.json"
    task = context.task()
    figures = read_json(file, remedy=f"Run `{program()} train_downstream {context.benchmark}` again.")
    if task.primary_metric not in figures:
        raise DatasetDMError(
            f"{file} has no {task.primary_metric}: dev shows nothing to find. Raise ingest.num_dev in params.yaml."
        )
    value = float(figures[task.primary_metric])
    return value if task.higher_is_better else -value

"""Training a downstream model on a mixture of annotated sets: for the comparison, for `diagnose`, and after a round."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.downstream.weights import weights_file
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context, missing, release_backbone

#: An annotated set: folder, subset and the stage that makes it.
Location = tuple[Path, str, str]


class Group(NamedTuple):
    """Annotated sets that share a part of each batch.

    Attributes:
        share: of a batch; the sets split it in proportion to their numbers of images.
        sources: the sets.
        until: share of the iterations after which they are no longer used.
    """

    share: float
    sources: Sequence[Location]
    until: float = 1.0


def check_installed(context: Context) -> None:
    """DatasetDMError where the library of the benchmark's downstream model is missing."""
    DOWNSTREAM[context.settings.task.name].check_installed()


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
        device=context.params.device,
        resume=resume,
    )


def dependencies(context: Context) -> list[Any]:
    """All that any training depends on, ready for `digest`, except for its code, its data and its seed.

    Raises:
        DatasetDMError: the weights that it starts from are missing.
    """
    settings = context.settings.downstream
    # The weights count by their content, not by where they lie; checkpoints change no result.
    own = settings.model_dump(exclude={"pretrained", "checkpoint_every"})
    pretrained = weights_file(settings.pretrained).parent if settings.pretrained else ""
    dev = AnnotatedSets().identity(context.paths.real, "dev")
    return [own, context.settings.task, pretrained, dev]


def with_labelled(context: Context, labelled: Sequence[Location], others: Sequence[Location]) -> list[Group]:
    """Labelled images in every batch (`experiment.real_weight`), and alone at the end (`finetune_fraction`)."""
    settings = context.settings.experiment
    until = 1.0 - settings.finetune_fraction
    return [Group(settings.real_weight, labelled), Group(1.0 - settings.real_weight, others, until)]


def mixing(context: Context) -> list[float]:
    """What `with_labelled` takes from the settings, ready for `digest`."""
    settings = context.settings.experiment
    return [round(settings.real_weight, 6), round(settings.finetune_fraction, 6)]


def mixture(groups: Iterable[Group], context: Context, sets: AnnotatedSets) -> list[Labelled]:
    """Annotated images with their share of a batch.

    Raises:
        DatasetDMError: a source is missing.
    """
    return [part for group in groups for part in _weighted(group, context, sets)]


def _weighted(group: Group, context: Context, sets: AnnotatedSets) -> list[Labelled]:
    """The sources of a group, with a weight each; one without images is left out."""
    counts = []
    for folder, subset, stage in group.sources:
        if not annotation_file(folder, subset).exists():
            raise missing(context, annotation_file(folder, subset), stage)
        counts.append(sets.count(folder, subset))
    return [
        Labelled(folder=folder, subset=subset, weight=group.share * count / sum(counts), until=group.until)
        for count, (folder, subset, _) in zip(counts, group.sources, strict=True)
        if count
    ]

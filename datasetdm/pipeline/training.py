"""Training a downstream model on a mixture of annotated sets: for the comparison, for `diagnose`, and after a round."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.downstream import DOWNSTREAM, Labelled
from datasetdm.downstream.weights import weights_file
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context, missing, release_backbone

#: Shares of a batch, each with its sources: folder, subset and the stage that makes it.
Groups = list[tuple[float, list[tuple[Path, str, str]]]]


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


def mixture(groups: Groups, context: Context, sets: AnnotatedSets) -> list[Labelled]:
    """Annotated images with their share of a batch; a group's share is split in proportion to numbers of images.

    Raises:
        DatasetDMError: a source is missing.
    """
    return [part for share, sources in groups for part in _weighted(share, sources, context, sets)]


def _weighted(
    share: float, sources: Sequence[tuple[Path, str, str]], context: Context, sets: AnnotatedSets
) -> list[Labelled]:
    """The sources of a group, with a weight each; one without images is left out."""
    counts = []
    for folder, subset, stage in sources:
        if not annotation_file(folder, subset).exists():
            raise missing(context, annotation_file(folder, subset), stage)
        counts.append(sets.count(folder, subset))
    return [
        Labelled(folder=folder, subset=subset, weight=share * count / sum(counts))
        for count, (folder, subset, _) in zip(counts, sources, strict=True)
        if count
    ]

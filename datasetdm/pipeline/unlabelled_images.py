"""The images that stand for unlabelled ones: those of the oracle set, of which only pixels and captions are read."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.datasets.standard.unlabelled import Unlabelled, load_unlabelled
from datasetdm.pipeline.context import Context, missing
from datasetdm.tasks.base import Task
from datasetdm.utils.files import link


def unlabelled_images(context: Context) -> list[Unlabelled]:
    """The images without their labels."""
    file = annotation_file(context.paths.real, "oracle")
    if not file.exists():
        raise missing(context, file, "ingest")
    return load_unlabelled(context.paths.real, "oracle")


def domain_images(context: Context) -> list[Unlabelled]:
    """Images that show what the benchmark's images look like: those above, or else the labelled ones of all seeds."""
    if context.settings.ingest.num_oracle:
        return unlabelled_images(context)
    real = context.paths.real
    subsets = [f"few_shot_{seed}" for seed in context.seeds]
    for subset in subsets:
        if not annotation_file(real, subset).exists():
            raise missing(context, annotation_file(real, subset), "ingest")
    return list({image.name: image for subset in subsets for image in load_unlabelled(real, subset)}.values())


def labelling(context: Context) -> tuple[object, ...]:
    """What any labels of these images depend on: the images, the task, the filter."""
    settings = context.settings
    return [image.identity for image in unlabelled_images(context)], settings.task, settings.synthesis.filter


def save_labelled(task: Task, folder: Path, subset: str, samples: Iterable[Sample], images: Path) -> None:
    """Save samples whose images are in the folder `images` already, by linking these."""

    def linked() -> Iterator[Sample]:
        for sample in samples:
            link(images / sample.name, folder / "images" / sample.name)
            yield sample

    (folder / "images").mkdir(parents=True, exist_ok=True)
    standard_format(*task.kind).save(folder, subset, linked())

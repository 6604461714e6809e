"""The labels of the arm `self_training`: what a teacher, the model of the arm `real` with the same seed, finds.

The images are those that `annotate` has for `pseudo`, and they are spliced as the synthetic ones are: the student and
the model of `both` differ only in where images and labels come from. The labels are a unit next to the teacher's, since
neither can be made before the trainings begin.
"""

from pathlib import Path
from typing import Any

from datasetdm.arms import PSEUDO, TAUGHT, TAUGHT_SPLICED
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.downstream import DOWNSTREAM
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.pipeline.unlabelled_images import save_labelled, unlabelled_images
from datasetdm.synthesis.pseudo_labels import teach_labels
from datasetdm.transforms.splice import augment
from datasetdm.utils.digests import digest

WORK = "self_training"  # folder of the units


def labels_folder(context: Context, seed: int, teacher: Path, images: tuple[object, ...]) -> Path:
    """Where the labels of the teacher, a finished or planned training, are, or will be; `images` as of `labelling`."""
    settings = context.settings
    decoded = _decoded_file(context, seed) if context.task().uses_prompt_boxes else ""
    threshold = settings.experiment.self_training_threshold
    fingerprint = digest(teacher.name, decoded, threshold, settings.augmentation, *images)
    return context.paths.work(WORK) / fingerprint


def make_labels(context: Context, seed: int, teacher: Path, labels: Path) -> None:
    """Let the teacher, a finished training, label the images into `labels_folder`, unless it has done so."""
    settings, task = context.settings, context.task()

    def work(folder: Path) -> None:
        model = DOWNSTREAM[task.name].load(teacher, device=context.params.device)
        images, prompt_boxes = unlabelled_images(context), {}
        if task.uses_prompt_boxes:
            prompt_boxes = _prompt_boxes(context, seed)
            images = [image for image in images if image.name in prompt_boxes]
        threshold = settings.experiment.self_training_threshold
        samples = teach_labels(model, task, images, prompt_boxes, threshold, settings.synthesis.filter)
        save_labelled(task, folder, TAUGHT.name, samples, context.paths.real / "images")
        taught = standard_format(*task.kind).load(folder, TAUGHT.name)
        spliced = augment(taught, settings.augmentation, prefix=TAUGHT_SPLICED.name) if len(taught) else ()
        standard_format(*task.kind).save(folder, TAUGHT_SPLICED.name, spliced)

    make_unit(labels, work)


def _prompt_boxes(context: Context, seed: int) -> dict[str, Any]:
    """Image name -> the boxes of what the P-Decoder found there, for the teacher (see `Task.prompt_boxes`)."""
    task = context.task()
    samples = standard_format(*task.kind).load(context.paths.pseudo, PSEUDO.subset(seed))
    return {sample.name: task.prompt_boxes(sample.target) for sample in samples}


def _decoded_file(context: Context, seed: int) -> Path:
    file = annotation_file(context.paths.pseudo, PSEUDO.subset(seed))
    if not file.exists():
        raise missing(context, file, "annotate")
    return file

"""The labels of the arm `self_training`: what a teacher, the model of the arm `real` with the same seed, finds.

The images are those that `annotate` has for `pseudo`, and they are spliced as the synthetic ones are: student and the
model of `both` differ in where images and labels come from, and in nothing else. The labels are a unit of their own
beside the teacher's, since neither can be made before the trainings begin.
"""

from pathlib import Path
from typing import Any

from datasetdm.downstream import DOWNSTREAM
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.pipeline.unlabelled import labelling, save_labelled, unlabelled_images
from datasetdm.synthesis.pseudo_labels import teach_labels
from datasetdm.transforms.splice import augment
from datasetdm.utils.digests import digest

TAUGHT, SPLICED = "taught", "spliced"  # the names of the two sets


def labels_unit(context: Context, seed: str, teacher: Path) -> Path:
    """Where the labels by the teacher, a finished or planned training, lie once they are made."""
    settings = context.settings
    decoded = _decoded_file(context, seed) if context.task().takes_hints else ""
    threshold = settings.downstream.self_training_threshold
    fingerprint = digest(teacher.name, decoded, threshold, settings.augmentation, *labelling(context))
    return context.paths.work("self_training") / fingerprint


def make_labels(context: Context, seed: str, teacher: Path) -> None:
    """Let the teacher, a finished training, label the images, unless it has."""
    settings, task = context.settings, context.task()

    def work(folder: Path) -> None:
        model = DOWNSTREAM[task.name].load(teacher, device=context.params.backbone.device)
        images, prompt_boxes = unlabelled_images(context), {}
        if task.takes_hints:
            prompt_boxes = _prompt_boxes(context, seed)
            images = [image for image in images if image.name in prompt_boxes]
        threshold = settings.downstream.self_training_threshold
        samples = teach_labels(model, task, images, prompt_boxes, threshold, settings.synthesis)
        save_labelled(task, folder, TAUGHT, samples, context.paths.real / "images")
        taught = task.load(folder, TAUGHT)
        spliced = augment(taught, settings.augmentation, prefix=SPLICED) if len(taught) else ()
        task.save(folder, SPLICED, spliced)

    make_unit(labels_unit(context, seed, teacher), work)


def _prompt_boxes(context: Context, seed: str) -> dict[str, Any]:
    """Image name -> the boxes of what the P-Decoder found there, for the teacher (see `Task.hint`)."""
    task = context.task()
    return {sample.name: task.hint(sample.target) for sample in task.load(context.paths.pseudo, f"seed_{seed}")}


def _decoded_file(context: Context, seed: str) -> Path:
    file = context.paths.pseudo / "annotations" / f"seed_{seed}.json"
    if not file.exists():
        raise missing(context, file, "annotate")
    return file

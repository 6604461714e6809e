"""Labels for real images that have none: read off the diffusion model by a P-Decoder, or found by a trained model.

Both look at pixels and captions alone, and both pass what they find through the filters of the synthetic set.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from datasetdm import config
from datasetdm.annotations.predictor import Predictor
from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.unlabelled import Unlabelled
from datasetdm.decoder.base import Decoder
from datasetdm.decoder.inference import predict_images
from datasetdm.diffusion.backbone import Backbone
from datasetdm.downstream import EVALUATION_BATCH
from datasetdm.filters import build_filter
from datasetdm.filters.agreement import accept, needs_counts
from datasetdm.filters.base import NOTHING_ASKED, Acceptance, Filter
from datasetdm.prompts.mentions import asked_counts
from datasetdm.tasks.base import Task
from datasetdm.utils.batches import batches
from datasetdm.utils.progress import Progress

CHUNK = 64  # images held in memory at a time


def read_labels(
    backbone: Backbone,
    decoder: Decoder,
    task: Task,
    reading: config.Decoder,
    images: Sequence[Unlabelled],
    label_filter: Filter,
    settings: config.Filter,
) -> Iterator[Sample]:
    """The images that are accepted, with what a P-Decoder sees in them.

    Args:
        backbone: the frozen diffusion model.
        decoder: trained on it.
        task: what is annotated.
        reading: the settings that the decoder was trained with.
        images: their captions are the prompts.
        label_filter: of that decoder.
        settings: of the filter of the synthetic set.
    """
    heeded = needs_counts(settings, reading.reading)
    done, progress = 0, Progress(len(images), "images annotated")
    for part in batches(images, CHUNK):
        pixels, prompts = [image.read() for image in part], [image.caption for image in part]
        found = predict_images(backbone, decoder, task, pixels, prompts, reading)
        for image, picture, prediction in zip(part, pixels, found, strict=True):
            asked = asked_counts(image.caption, task.words) if heeded else NOTHING_ASKED
            yield from _accepted(image, picture, accept(label_filter, prediction, settings, asked))
        done += len(part)
        progress.update(done)


def teach_labels(
    teacher: Predictor,
    task: Task,
    images: Sequence[Unlabelled],
    prompt_boxes: Mapping[str, Any],
    threshold: float,
    settings: config.Filter,
) -> Iterator[Sample]:
    """The images in which a trained model finds something, with what it finds with enough confidence.

    See `Filter.filter_pseudo_labels`.

    Args:
        teacher: the trained model.
        task: what it finds.
        images: what it looks at.
        prompt_boxes: image name -> the boxes in which it looks; images that are not named get none.
        threshold: lowest confidence that counts.
        settings: the filter of the synthetic set, for all else.
    """
    label_filter = build_filter(*task.kind)
    for part in batches(images, EVALUATION_BATCH):
        pixels = [image.read() for image in part]
        found = teacher.predict(pixels, [prompt_boxes.get(image.name) for image in part])
        for image, picture, target in zip(part, pixels, found, strict=True):
            yield from _accepted(image, picture, label_filter.filter_pseudo_labels(target, threshold, settings))


def _accepted(image: Unlabelled, pixels: Any, acceptance: Acceptance) -> Iterator[Sample]:
    if acceptance.rejected is None:
        yield Sample(
            name=image.name,
            image=pixels,
            caption=image.caption,
            target=acceptance.target,
            image_id=image.image_id,
            attribution=image.attribution,
        )

"""Measurements of the P-Decoder: its views, its iterations, its reading of real images."""

import math
from dataclasses import replace

from torch import nn

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.arms import LABELLED
from datasetdm.decoder.inference import predict_images
from datasetdm.decoder.trainer import DecoderTraining
from datasetdm.decoder.training_views import open_views
from datasetdm.decoder.view_cache import cache_views
from datasetdm.pipeline.planning.rate import Rate, measure, measure_host, with_disk
from datasetdm.pipeline.planning.rehearsal import NUM_REAL, Rehearsal
from datasetdm.transforms.views import augmented_views
from datasetdm.utils.progress import say

PORTION = 4  # iterations in a row; more than one, so that they are not all the first of their kind


def views(rehearsal: Rehearsal) -> Rate:
    """A view of a labelled image with its features."""
    say("making views of labelled images")
    samples, task, settings = _labelled(rehearsal), rehearsal.task, _few_views(rehearsal)
    backbone = rehearsal.backbone

    def extract() -> int:
        return len(cache_views(backbone, task, samples, settings, seed=0))

    def augment() -> int:
        return len(list(augmented_views(samples, settings, backbone.image_size, 0, task.prompt_words)))

    rate = measure(extract, rehearsal.device)
    return replace(rate, host=measure_host(augment).seconds, precision=rehearsal.context.params.backbone.dtype)


def iterations(rehearsal: Rehearsal) -> Rate:
    """An iteration of the training, with the views that it makes itself if they are not cached."""
    say("training a P-Decoder for a few iterations")
    samples, task, backbone = _labelled(rehearsal), rehearsal.task, rehearsal.backbone
    settings = rehearsal.context.settings.decoder
    own = open_views(backbone, task, samples, _few_views(rehearsal) if settings.views_per_image else settings, seed=0)
    decoder = rehearsal.new_decoder()
    decoder.calibrate(own.examples())
    training = DecoderTraining(backbone, task, settings, 0, decoder)

    def train() -> int:
        before = training.iteration
        training.run(own, stop=min(before + PORTION, settings.iterations))
        training.iteration = training.iteration if training.iteration < settings.iterations else 0
        return min(PORTION, settings.iterations - before)

    rate = with_disk(measure(train, rehearsal.device), _bytes(decoder) / settings.iterations)
    return rate if settings.views_per_image else replace(rate, host=views(rehearsal).host * settings.batch_size)


def _bytes(decoder: nn.Module) -> int:
    """What a trained decoder takes: as a unit, as published, and in the registry."""
    return 3 * sum(value.nbytes for value in decoder.state_dict().values())


def reading(rehearsal: Rehearsal) -> Rate:
    """A real image that the P-Decoder reads."""
    say("reading real images with the P-Decoder")
    samples, task = rehearsal.images("dev", NUM_REAL), rehearsal.task
    images, captions = [sample.image for sample in samples], [sample.caption for sample in samples]

    def read() -> int:
        settings = rehearsal.context.settings.decoder
        return len(predict_images(rehearsal.backbone, rehearsal.decoder, task, images, captions, settings))

    return replace(measure(read, rehearsal.device), precision=rehearsal.context.params.backbone.dtype)


def _labelled(rehearsal: Rehearsal) -> list[Sample]:
    return list(rehearsal.images(LABELLED.subset(rehearsal.context.seeds[0]), NUM_REAL))


def _few_views(rehearsal: Rehearsal) -> config.Decoder:
    """The settings with just enough views for a batch."""
    settings = rehearsal.context.settings.decoder
    number = max(2, math.ceil(settings.batch_size / len(_labelled(rehearsal))))
    return settings.model_copy(update={"views_per_image": number})

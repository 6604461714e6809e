"""Inference with a decoder of any method, on real and generated images alike.

Latents are noised to `decoder.timestep` and pass through the U-Net; the decoder predicts from the features. With
`decoder.reading` it predicts from several passes, at further noise levels and of the mirror image, and the annotation
is what their predictions say together.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from datasetdm import config
from datasetdm.annotations.sample import Prediction
from datasetdm.decoder.base import Decoder
from datasetdm.decoder.checkpoint import load_decoder
from datasetdm.decoder.readings import join_readings, passes
from datasetdm.decoder.self_attention import SelfAttentionDecoder, knows_all_named
from datasetdm.decoder_methods import METHODS
from datasetdm.diffusion.backbone import Backbone, encode_images
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mentions import Word
from datasetdm.tasks.base import Task
from datasetdm.transforms.geometry import resize_matrix, squeeze
from datasetdm.utils.batches import batches
from datasetdm.utils.images import checked_images
from datasetdm.utils.seeding import derived_seed

BATCH = 8


@torch.no_grad()
def read_features(
    backbone: Backbone,
    latents: torch.Tensor,
    prompts: Sequence[str],
    *,
    words: Sequence[Word],
    settings: config.Decoder,
    generators: Sequence[torch.Generator],
) -> list[DiffusionFeatures]:
    """Features of each of the `passes`, the mean of `settings.ensemble_size` draws of noise.

    Args:
        backbone: the frozen diffusion model.
        latents: B x C x h x w, of real (`Backbone.encode`) or generated images.
        prompts: B texts.
        words: the words whose attention is read (`Task.words`).
        settings: the settings that the decoder was trained with.
        generators: one per image, of its noise.
    """
    found = []
    for one in passes(settings):
        seen = latents.flip(-1) if one.mirrored else latents
        draws = [
            backbone.extract(
                seen,
                prompts,
                timestep=one.timestep,
                words=words,
                generators=generators,
                self_attention=METHODS[settings.method].self_attention or _joins_attention(settings),
            )
            for _ in range(settings.ensemble_size)
        ]
        found.append(
            DiffusionFeatures(
                maps=_mean([draw.maps for draw in draws]),
                attention=_mean([draw.attention for draw in draws]),
                self_attention=_mean([draw.self_attention for draw in draws]),
                mentioned=draws[0].mentioned,
            )
        )
    return found


def read(
    decoder: Decoder,
    task: Task,
    features: Sequence[DiffusionFeatures],
    images: Sequence[np.ndarray],
    settings: config.Decoder,
) -> list[Prediction]:
    """What the decoder finds in uint8 images of the backbone's size.

    Args:
        decoder: the trained decoder.
        task: what it predicts.
        features: of the images, as `read_features` gives them; those of a single pass are taken as they are.
        images: B images.
        settings: the settings that the decoder was trained with.
    """
    size, made_by = images[0].shape[:2], passes(settings)[: len(features)]
    readings: list[list[Prediction | None]] = [[*_read_pass(decoder, task, one, size, settings)] for one in features]
    if _joins_attention(settings):
        attention = SelfAttentionDecoder(task, (), settings)
        for one in features:
            found = _read_pass(attention, task, one, size, settings)
            readings.append([p if known else None for p, known in zip(found, knows_all_named(one, task), strict=True)])
        made_by += tuple(replace(one, by_attention=True) for one in made_by)
    joined = join_readings(task, readings, made_by, images[0].shape[1])
    return [task.refine(prediction, image) for prediction, image in zip(joined, images, strict=True)]


def _joins_attention(settings: config.Decoder) -> bool:
    return settings.reading is not None and settings.reading.attention


def _read_pass(
    decoder: Decoder, task: Task, features: DiffusionFeatures, size: tuple[int, ...], settings: config.Decoder
) -> list[Prediction]:
    """The predictions from one pass.

    Classes that the decoder was never shown are ruled out (`Decoder.learnt`). With `settings.category_from_prompt`
    an image can only have the categories that its prompt names (`DiffusionFeatures.mentioned`).
    """
    allowed = named_words(features) if settings.category_from_prompt else None
    if decoder.learnt is not None:
        number = len(next(iter(features.maps.values())))
        every = [decoder.learnt] * number if allowed is None else allowed
        allowed = [[label for label in labels if label in decoder.learnt] for labels in every]
    return task.decode(decoder(features), (size[0], size[1]), allowed)


@torch.no_grad()
def predict_images(
    backbone: Backbone,
    decoder: Decoder,
    task: Task,
    images: Sequence[np.ndarray],
    prompts: Sequence[str],
    settings: config.Decoder,
    *,
    seed: int = 0,
) -> list[Prediction]:
    """Annotations of images of any size, at that size.

    An image is squeezed into the backbone's square as a whole, and the annotation is stretched back. The noise of an
    image depends on its pixels and the seed, so that its annotation does not depend on the other images; on the CPU
    that holds to the last bit (see `Backbone.portion`).

    Args:
        backbone: the frozen diffusion model.
        decoder: trained on it.
        task: what is predicted.
        images: uint8 H x W x 3 each.
        prompts: one each, possibly empty.
        settings: the settings that the decoder was trained with.
        seed: of the noise.
    """
    predictions: list[Prediction] = []
    for batch in batches(zip(images, prompts, strict=True), backbone.portion(BATCH)):
        squares = [squeeze(image, backbone.image_size) for image, _ in batch]
        features = read_features(
            backbone,
            encode_images(backbone, squares),
            [prompt for _, prompt in batch],
            words=task.words,
            settings=settings,
            generators=[torch.Generator().manual_seed(content_seed(image, seed)) for image, _ in batch],
        )
        found = read(decoder, task, features, squares, settings)
        for prediction, (image, _) in zip(found, batch, strict=True):
            predictions.append(_stretched(prediction, backbone.image_size, image.shape[:2]))
    return predictions


def content_seed(image: np.ndarray, seed: int) -> int:
    """The seed of an image's noise, made from its pixels and size: the same in every call."""
    content = hashlib.sha256(f"{image.shape} ".encode() + image.tobytes()).digest()
    return derived_seed(seed, 2, int.from_bytes(content, "big"))


def named_words(features: DiffusionFeatures) -> list[list[int]]:
    """Per image the indices of the words that its prompt mentions."""
    if features.mentioned is None:
        raise DatasetDMError(
            "decoder.category_from_prompt needs a backbone that reads prompts: set it to false in params.yaml."
        )
    return [row.nonzero().flatten().tolist() for row in features.mentioned]


class DecoderModel:
    """Backbone and decoder as one model that annotates pictures without prompts.

    Args:
        backbone: the frozen diffusion model.
        decoder: trained on it.
        task: what it predicts.
        settings: the settings that it was trained with.
    """

    def __init__(self, backbone: Backbone, decoder: Decoder, task: Task, settings: config.Decoder):
        self.backbone, self.decoder, self.task, self.settings = backbone, decoder, task, settings
        self.categories = task.categories

    @classmethod
    def load(cls, folder: Path | str, backbone: Backbone) -> Self:
        """The decoder in `folder` on its backbone; errors as in `load_decoder`."""
        return cls(backbone, *load_decoder(folder, backbone, prompted=False))

    def predict(
        self, images: np.ndarray | Sequence[np.ndarray], prompt_boxes: Sequence[Any] | None = None
    ) -> list[Any]:
        """Annotations (the task's target type) of uint8 images, N x H x W x 3 or a list of any sizes.

        `prompt_boxes`, which pose models use, are ignored.
        """
        found = []
        for image in checked_images(images):  # each by itself: a batch of another size gives other last bits
            (prediction,) = predict_images(self.backbone, self.decoder, self.task, [image], [""], self.settings)
            found.append(prediction.target)
        return found


def _mean(draws: Sequence[dict[int, torch.Tensor]]) -> dict[int, torch.Tensor]:
    return {stride: reduce(torch.add, [draw[stride] for draw in draws]) / len(draws) for stride in draws[0]}


def _stretched(prediction: Prediction, side: int, size: tuple[int, ...]) -> Prediction:
    """The prediction for a square of `side` pixels at the (height, width) of the image."""
    height, width = size
    if (height, width) == (side, side):
        return prediction
    matrix = resize_matrix((side, side), (height, width))
    return replace(prediction, target=prediction.target.warp(matrix, (height, width)))

"""A trained P-Decoder at work: one path for real and for generated images.

Latents are noised to `decoder.timestep`, passed through the U-Net once, and read by the decoder.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import reduce
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from datasetdm import config
from datasetdm.decoder.open_vocabulary import OpenVocabularyDecoder
from datasetdm.decoder.p_decoder import PDecoder
from datasetdm.diffusion.backbone import Backbone
from datasetdm.errors import DatasetDMError
from datasetdm.formats.files import read_json, replacing, write_json
from datasetdm.structures import Category, DiffusionFeatures, FeatureLevel, Prediction, Sample, checked_images
from datasetdm.tasks import build_task
from datasetdm.tasks.base import Task
from datasetdm.views import batches, derived_seed, encode_images, resize_matrix, squeeze

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
READING_BATCH = 8
RETRAIN = "Train the decoder again with the stage train_decoder (python -m datasetdm train_decoder ...)."


@torch.no_grad()
def read_features(
    backbone: Backbone,
    latents: torch.Tensor,
    prompts: Sequence[str],
    *,
    words: Sequence[str],
    settings: config.Decoder,
    generators: Sequence[torch.Generator],
) -> DiffusionFeatures:
    """Features at `settings.timestep`, the mean of `settings.noise_draws` draws of noise.

    Args:
        backbone: the frozen diffusion model.
        latents: B x C x h x w, of real images (`Backbone.encode`) or of generated ones.
        prompts: B texts.
        words: the words whose attention is read (`Task.words`).
        settings: the settings that the decoder was trained with.
        generators: one per image; its noise comes from there alone.
    """
    draws = [
        backbone.extract(latents, prompts, timestep=settings.timestep, words=words, generators=generators)
        for _ in range(settings.noise_draws)
    ]
    return DiffusionFeatures(
        maps=_mean([draw.maps for draw in draws]), attention=_mean([draw.attention for draw in draws])
    )


def read(
    decoder: PDecoder,
    task: Task,
    features: DiffusionFeatures,
    images: Sequence[np.ndarray],
    settings: config.Decoder,
) -> list[Prediction]:
    """What the decoder sees in the features of uint8 images of the backbone's size.

    Classes that the decoder was never shown are ruled out (`PDecoder.learnt`). With `settings.category_from_prompt`
    an image has no categories but those that its prompt names (`DiffusionFeatures.mentioned`).
    """
    allowed = named_words(features) if settings.category_from_prompt else None
    if decoder.learnt is not None:
        every = [decoder.learnt] * len(images) if allowed is None else allowed
        allowed = [[label for label in labels if label in decoder.learnt] for labels in every]
    found = task.decode(decoder(features), images[0].shape[:2], allowed)
    return [task.refine(prediction, image) for prediction, image in zip(found, images, strict=True)]


@torch.no_grad()
def predict_images(
    backbone: Backbone,
    decoder: PDecoder,
    task: Task,
    images: Sequence[np.ndarray],
    prompts: Sequence[str],
    settings: config.Decoder,
    *,
    seed: int = 0,
) -> list[Prediction]:
    """Annotations of images of any size, at that size.

    An image is squeezed into the backbone's square as a whole, and the annotation is stretched back. The noise of an
    image depends on its pixels and the seed: what is found in it does not depend on the images before and beside it,
    on the CPU to the last bit (see `Backbone.portion`).

    Args:
        images: uint8 H x W x 3 each.
        prompts: one each, possibly empty.
        seed: another one gives other noise.
    """
    predictions: list[Prediction] = []
    for batch in batches(zip(images, prompts, strict=True), backbone.portion(READING_BATCH)):
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
            predictions.append(_stretched(task, prediction, backbone.image_size, image.shape[:2]))
    return predictions


def content_seed(image: np.ndarray, seed: int) -> int:
    """The seed of an image's noise, out of its pixels and size: the same wherever the image is read."""
    content = hashlib.sha256(f"{image.shape} ".encode() + image.tobytes()).digest()
    return derived_seed(seed, 2, int.from_bytes(content, "big"))


def named_words(features: DiffusionFeatures) -> list[list[int]]:
    """Per image the indices of the words that its prompt names."""
    if not features.attention:
        raise DatasetDMError(
            "decoder.category_from_prompt needs a backbone with cross-attention: set it to false in params.yaml."
        )
    return [row.nonzero().flatten().tolist() for row in features.mentioned()]


def save_decoder(
    folder: Path, decoder: PDecoder, task: Task, settings: config.Decoder, backbone: Backbone, seed: int
) -> None:
    """Write `model.safetensors` and `config.json`, which hold all that `load_decoder` needs."""
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS_FILE) as temporary:
        save_file({name: value.contiguous() for name, value in decoder.state_dict().items()}, temporary)
    description = describe_decoder(task, settings, backbone, seed)
    if decoder.learnt is not None:
        description["learnt"] = list(decoder.learnt)
    write_json(folder / CONFIG_FILE, description)


def describe_decoder(task: Task, settings: config.Decoder, backbone: Backbone, seed: int) -> dict[str, Any]:
    """The content of `config.json`."""
    return {
        "task": task.settings.model_dump(mode="json"),
        "categories": [asdict(category) for category in task.categories],
        "feature_info": [asdict(level) for level in backbone.feature_info],
        "backbone_fingerprint": backbone.fingerprint,
        "image_size": backbone.image_size,
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
    }


def load_decoder(
    folder: Path | str, backbone: Backbone | None = None, *, prompted: bool = True
) -> tuple[PDecoder, Task, config.Decoder]:
    """A trained decoder in evaluation mode, on the backbone's device, with its task and settings.

    Args:
        folder: as `train_decoder` left it.
        backbone: where given, it has to be the one that the decoder was trained on.
        prompted: whether it will be given prompts that say what is in an image. If not, no class is ruled out by them,
            whatever `category_from_prompt` says.

    Raises:
        DatasetDMError: missing or damaged files, or another backbone.
    """
    folder = Path(folder)
    description = read_json(folder / CONFIG_FILE, remedy=RETRAIN)
    if backbone is not None and description["backbone_fingerprint"] != backbone.fingerprint:
        raise DatasetDMError(
            f"{folder} was trained on another diffusion backbone ({description['backbone_fingerprint']}, now "
            f"{backbone.fingerprint}): put that backbone back, or train the decoder again."
        )
    categories = [Category(**record) for record in description["categories"]]
    task = build_task(config.task_settings(description["task"]), categories)
    settings = config.Decoder.model_validate(description["settings"])
    if not prompted:
        settings = settings.model_copy(update={"category_from_prompt": False})
    levels = [FeatureLevel(**record) for record in description["feature_info"]]
    try:
        weights = load_file(folder / WEIGHTS_FILE)
        decoder = build_decoder(task, levels, settings, weights.get("embeddings"))
        decoder.load_state_dict(weights)
        decoder.learnt = None if "learnt" not in description else tuple(description["learnt"])
    except FileNotFoundError:
        raise DatasetDMError(f"{folder / WEIGHTS_FILE} is missing. {RETRAIN}") from None
    except Exception as error:  # safetensors has no common base for what a damaged file can bring about
        raise DatasetDMError(f"{folder / WEIGHTS_FILE} does not fit its {CONFIG_FILE} ({error}). {RETRAIN}") from None
    device = torch.device("cpu") if backbone is None else backbone.device
    return decoder.to(device).eval(), task, settings


def build_decoder(
    task: Task, feature_info: Sequence[FeatureLevel], settings: config.Decoder, embeddings: torch.Tensor | None
) -> PDecoder:
    """A fresh decoder with the heads that the task asks for.

    Args:
        task: what is read.
        feature_info: the levels that the backbone yields.
        settings: widths and depths.
        embeddings: of the words of the task's vocabulary (`embed_vocabulary`), where it has an open one.
    """
    if task.vocabulary is not None:
        if embeddings is None:
            raise DatasetDMError("The decoder has no embeddings of the class names that it is asked for.")
        return OpenVocabularyDecoder(feature_info, settings, task.vocabulary, embeddings)
    return PDecoder(
        feature_info,
        len(task.words),
        settings,
        num_classes=len(task.categories),
        uses_queries=task.uses_queries,
        dense_channels=task.dense_channels,
    )


def learnt_labels(task: Task, samples: Iterable[Sample]) -> tuple[int, ...] | None:
    """The classes that a decoder trained on these images may find; None where that rules none out.

    They are those that the annotations show, and the unseen ones of an open vocabulary. Of any other it has seen no
    example: what it would find of them has no meaning.
    """
    shown: set[int] = set()
    for sample in samples:
        labels = task.categories_in(sample.target)
        if labels is None:
            return None
        shown.update(labels)
    if task.vocabulary is not None:
        shown |= {*task.vocabulary.labels} - {*task.vocabulary.seen}
    names = {task.categories[label].name for label in shown}
    return None if names >= {category.name for category in task.subjects} else tuple(sorted(shown))


def embed_vocabulary(task: Task, backbone: Backbone) -> torch.Tensor | None:
    """Embeddings of the class names that the decoder is asked for, W x D; None where it knows a fixed list."""
    return None if task.vocabulary is None else backbone.embed_words(task.vocabulary.words)


def decoder_fingerprint(folder: Path | str) -> str:
    """Digest of weights and configuration, 16 hexadecimal digits.

    Raises:
        DatasetDMError: one of the two is missing.
    """
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        file = Path(folder) / name
        if not file.exists():
            raise DatasetDMError(f"{file} is missing. {RETRAIN}")
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class DecoderModel:
    """Backbone and decoder as one model that annotates pictures, without any prompt.

    Args:
        backbone: the frozen diffusion model.
        decoder: trained on it.
        task: what it reads.
        settings: how it reads.
    """

    def __init__(self, backbone: Backbone, decoder: PDecoder, task: Task, settings: config.Decoder):
        self.backbone, self.decoder, self.task, self.settings = backbone, decoder, task, settings
        self.categories = task.categories

    @classmethod
    def load(cls, folder: Path | str, backbone: Backbone) -> Self:
        """The decoder in `folder` on its backbone; errors as in `load_decoder`."""
        return cls(backbone, *load_decoder(folder, backbone, prompted=False))

    def predict(self, images: np.ndarray | Sequence[np.ndarray], hints: Sequence[Any] | None = None) -> list[Any]:
        """Annotations (the task's target type) of uint8 images, N x H x W x 3 or a list of any sizes.

        Hints, which downstream models may be given, are not used.
        """
        found = []
        for image in checked_images(images):  # each by itself: a batch of another size gives other last bits
            (prediction,) = predict_images(self.backbone, self.decoder, self.task, [image], [""], self.settings)
            found.append(prediction.target)
        return found


def _mean(draws: Sequence[dict[int, torch.Tensor]]) -> dict[int, torch.Tensor]:
    return {stride: reduce(torch.add, [draw[stride] for draw in draws]) / len(draws) for stride in draws[0]}


def _stretched(task: Task, prediction: Prediction, side: int, size: tuple[int, ...]) -> Prediction:
    height, width = size
    if (height, width) == (side, side):
        return prediction
    matrix = resize_matrix((side, side), (height, width))
    return Prediction(target=task.warp(prediction.target, matrix, (height, width)), score=prediction.score)

"""Build, save, load and identify a decoder, whatever its method."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from datasetdm import config
from datasetdm.annotations.sample import Category, Sample
from datasetdm.decoder.base import Decoder
from datasetdm.decoder_methods import METHODS
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.features import FeatureLevel
from datasetdm.errors import DatasetDMError
from datasetdm.tasks import build_task
from datasetdm.tasks.base import Task
from datasetdm.utils.files import read_json, replacing, write_json

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
RETRAIN = "Train the decoder again with the stage train_decoder (python -m datasetdm train_decoder ...)."


def save_decoder(
    folder: Path, decoder: Decoder, task: Task, settings: config.Decoder, backbone: Backbone, seed: int
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
) -> tuple[Decoder, Task, config.Decoder]:
    """A trained decoder in evaluation mode, on the backbone's device, with its task and settings.

    Args:
        folder: as `train_decoder` wrote it.
        backbone: has to be the one that the decoder was trained on; None skips that check.
        prompted: whether the prompts say what is in an image. If not, they do not rule out any class, whatever
            `category_from_prompt` says.

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
    except Exception as error:  # safetensors has no common base class for the errors of damaged files
        raise DatasetDMError(f"{folder / WEIGHTS_FILE} does not fit its {CONFIG_FILE} ({error}). {RETRAIN}") from None
    device = torch.device("cpu") if backbone is None else backbone.device
    return decoder.to(device).eval(), task, settings


def build_decoder(
    task: Task, feature_info: Sequence[FeatureLevel], settings: config.Decoder, embeddings: torch.Tensor | None
) -> Decoder:
    """A new decoder of the method that the settings name.

    Args:
        task: what is predicted.
        feature_info: the levels of the backbone's features.
        settings: its method, widths and depths.
        embeddings: of the class names (`embed_vocabulary`); None for a method that needs none.
    """
    build = resolve_name(METHODS[settings.method].build)
    decoder: Decoder = build(task, feature_info, settings, embeddings)
    return decoder


def learnt_labels(task: Task, samples: Iterable[Sample]) -> tuple[int, ...] | None:
    """The classes that a decoder trained on these images may find; None if it may find all.

    They are those that the annotations show, and the unseen ones of an open vocabulary. The decoder has seen no example
    of any other class, so that its predictions of it would be meaningless.
    """
    shown: set[int] = set()
    for sample in samples:
        labels = task.shown(sample.target).category_labels()
        if labels is None:
            return None
        shown.update(labels)
    if task.vocabulary is not None:
        shown |= {*task.vocabulary.labels} - {*task.vocabulary.seen}
    names = {task.categories[label].name for label in shown}
    return None if names >= {category.name for category in task.subjects} else tuple(sorted(shown))


def embed_vocabulary(task: Task, backbone: Backbone, settings: config.Decoder) -> torch.Tensor | None:
    """Embeddings of the class names, W x D in label order; None if the method needs none (`DecoderMethod.embeds`)."""
    embeds = METHODS[settings.method].embeds
    if embeds == "all":
        return backbone.embed_words([word.noun for word in task.prompt_words.values()])
    if embeds == "open vocabulary" and task.vocabulary is not None:
        return backbone.embed_words(task.vocabulary.words)
    return None


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

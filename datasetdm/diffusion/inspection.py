"""What a model's folder says about the model, read without loading its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasetdm import config
from datasetdm.diffusion.words import unknown_words
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json

#: In the `model_index.json` of a model that was trained on the embedded world alone; diffusers ignores it.
WORLD_KEY = "_world"


def draws_miniworld(settings: config.Backbone) -> bool:
    """Whether the model in a local folder says that it can draw the embedded world only."""
    file = Path(settings.path) / "model_index.json"
    if not file.is_file():
        return False
    index = read_json(file, remedy="Fetch the model again.")
    return isinstance(index, dict) and index.get(WORLD_KEY) == "miniworld"


def image_size_step(settings: config.Backbone) -> int | None:
    """Pixels that `image_size` must be a multiple of; None if the model's folder is not on this machine yet."""
    step = 1
    for part in ("vae", "unet"):
        file = Path(settings.path) / part / "config.json"
        if not file.is_file():
            return None
        description = read_json(file, remedy="Fetch the model again.")
        widths = description.get("block_out_channels") if isinstance(description, dict) else None
        if not widths:
            return None
        step *= 2 ** (len(widths) - 1)  # each block but the first halves the resolution
    return step


def has_zero_terminal_snr(settings: config.Backbone) -> bool:
    """Whether the model was trained to start from noise alone; False if its folder is not on this machine yet."""
    return bool(_scheduler(settings).get("rescale_betas_zero_snr"))


def matches_flow(settings: config.Backbone) -> bool:
    """Whether the model was trained with flow matching; False if its folder is not on this machine yet."""
    scheduler = _scheduler(settings)
    return is_flow(str(scheduler.get("_class_name")), scheduler)


def is_flow(name: str, scheduler: Mapping[str, Any]) -> bool:
    """Whether a scheduler is one of flow matching, by the name of its class and its configuration."""
    return name.startswith("FlowMatch") or scheduler.get("prediction_type") == "flow_prediction"


def _scheduler(settings: config.Backbone) -> Mapping[str, Any]:
    file = Path(settings.path) / "scheduler" / "scheduler_config.json"
    if not file.is_file():
        return {}
    description = read_json(file, remedy="Fetch the model again.")
    return description if isinstance(description, dict) else {}


def words_unknown_to(settings: config.Backbone, words: Sequence[str]) -> list[str]:
    """The words (or names of several words, "traffic light") that the model's tokenizer has no token for, sorted.

    Empty for models on the hub: their tokenizers can spell any word, so they are not downloaded for this.
    """
    folder = Path(settings.path) / "tokenizer"
    return unknown_words(_tokenizer(folder), words) if folder.is_dir() else []


def prompt_tokenizer(settings: config.Backbone) -> Any | None:
    """The tokenizer of the model's (first) text encoder; None if the model is not on this machine yet."""
    folder = Path(settings.path) / "tokenizer"
    if folder.is_dir():
        return _tokenizer(folder)
    if Path(settings.path).exists():
        return None
    try:
        return _read_tokenizer(settings.path, subfolder="tokenizer", revision=settings.revision)
    except Exception:  # a hub model that was never downloaded; there are many ways to say so
        return None


def _tokenizer(folder: Path) -> Any:
    try:
        return _read_tokenizer(folder)
    except Exception as error:  # the readers of tokenizers have no common base for damaged files
        raise DatasetDMError(f"The tokenizer in {folder} cannot be loaded ({' '.join(str(error).split())}).") from None


def _read_tokenizer(path: Path | str, **options: Any) -> Any:
    from transformers import AutoTokenizer  # takes seconds

    return AutoTokenizer.from_pretrained(path, local_files_only=True, **options)

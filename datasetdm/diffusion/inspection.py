"""What a model's folder says about the model, read without loading its weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from datasetdm import config
from datasetdm.diffusion.loading import family_of
from datasetdm.diffusion.words import TextInput, unknown_words
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


@dataclass(frozen=True, kw_only=True)
class TextReader:
    """A text encoder of a model: how far it reads a prompt.

    Attributes:
        name: of its tokenizer's folder.
        tokenizer: its tokenizer.
        length: tokens that it reads; None: as many as its tokenizer says.
    """

    name: str
    tokenizer: Any
    length: int | None = None


def text_readers(settings: config.Backbone) -> list[TextReader]:
    """The text encoders of a model, first the one that matters most; none if the model is not on this machine yet.

    What matters most is how far the network sees single words: that decides what can be drawn, and how far attention to
    words can be read.
    """
    folder = _local_folder(settings)
    if folder is None:
        return []
    family = family_of(read_json(folder / "model_index.json", remedy="Fetch the model again."))
    inputs = [TextInput("tokenizer")] if family is None else family.text_inputs(folder)
    present = [one for one in inputs if (folder / one.tokenizer).is_dir()]
    order = sorted(present, key=lambda one: (not one.by_word, -(one.length or 0)))  # stable: the first of the like ones
    return [
        TextReader(name=one.tokenizer, tokenizer=_tokenizer(folder / one.tokenizer), length=one.length) for one in order
    ]


def _local_folder(settings: config.Backbone) -> Path | None:
    """The model's folder, or that of its copy from the hub; None if there is none."""
    if (Path(settings.path) / "model_index.json").is_file():
        return Path(settings.path)
    if Path(settings.path).exists():
        return None
    try:
        index = try_to_load_from_cache(settings.path, "model_index.json", revision=settings.revision)
    except HFValidationError:  # no name that a hub could have
        return None
    return Path(index).parent if isinstance(index, str) else None


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer  # takes seconds

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the readers of tokenizers have no common base for damaged files
        raise DatasetDMError(f"The tokenizer in {folder} cannot be loaded ({' '.join(str(error).split())}).") from None

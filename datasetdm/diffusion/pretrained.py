"""From a folder to a pipeline of diffusers with its weights."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from datasetdm import config
from datasetdm.diffusion.adapters import add_loras
from datasetdm.diffusion.ip_adapter import add_ip_adapter
from datasetdm.diffusion.weights import how_to_get
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json


def load_pipeline(pipeline_class: Any, folder: Path, settings: config.Backbone, options: Mapping[str, Any]) -> Any:
    """The pipeline in a folder with its LoRAs and its IP-Adapter, on the CPU, in the precision that the settings name.

    Args:
        pipeline_class: of diffusers.
        folder: where it lies.
        settings: of the backbone.
        options: further arguments of `from_pretrained`.

    Raises:
        DatasetDMError: a file is missing or broken, or an adapter does not fit.
    """
    _silence_libraries(pipeline_class.__module__)
    try:
        pipeline = pipeline_class.from_pretrained(
            folder,
            dtype=getattr(torch, settings.dtype),
            use_safetensors=True,
            local_files_only=True,
            **_absent_text_encoders(folder),
            **options,
        )
    except Exception as error:  # the readers of weights and configurations have no common base for damaged files
        reason = " ".join(str(error).split())
        raise DatasetDMError(
            f"The diffusion model in {folder} cannot be loaded ({reason}). {how_to_get(settings.path)}"
        ) from None
    add_loras(pipeline, settings.loras)
    add_ip_adapter(pipeline, settings.ip_adapter)
    return pipeline


def check_text_encoders(folder: Path, names: Sequence[str], settings: config.Backbone) -> None:
    """Refuse a folder that lacks a part without which the family cannot read a prompt.

    Raises:
        DatasetDMError: it names the missing parts.
    """
    index = read_json(folder / "model_index.json", remedy=how_to_get(settings.path))
    needed = [*names, *(name.replace("text_encoder", "tokenizer") for name in names)]
    if missing := [name for name in needed if not (index.get(name) or [None])[0] or not (folder / name).is_dir()]:
        raise DatasetDMError(
            f"The model in {folder} lacks {', '.join(missing)}, without which a {index['_class_name']} cannot read "
            f"prompts: fetch the whole model. {how_to_get(settings.path)}"
        )


def _absent_text_encoders(folder: Path) -> dict[str, None]:
    """The text encoders and tokenizers that the folder does without (the third of Stable Diffusion 3)."""
    index = read_json(folder / "model_index.json", remedy="Fetch the model again.")
    kinds = ("text_encoder", "tokenizer")
    return {name: None for name in index if name.startswith(kinds) and not (folder / name).is_dir()}


#: What diffusers warns of, and nobody has to know.
CLUTTER = (
    "was truncated because",  # the captions of mixed views are often too long: a line for each batch
    "should be kept in float32: []",  # an IP-Adapter is cast when it is loaded, which here concerns no part at all
    "No LoRA keys associated to CLIPText",  # a LoRA of the denoising network alone, as the stage `adapt` trains it
)
LOGGERS = ("diffusers.models.modeling_utils", "diffusers.loaders.lora_base")


def _silence_libraries(pipeline_module: str) -> None:
    """Leave out what would clutter the lines that the stages print."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    for name in (pipeline_module, *LOGGERS):
        logging.getLogger(name).addFilter(_is_no_clutter)


def _is_no_clutter(record: logging.LogRecord) -> bool:
    return not any(phrase in record.getMessage() for phrase in CLUTTER)

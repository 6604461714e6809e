"""From a folder to a pipeline of diffusers with its weights."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from datasetdm import config
from datasetdm.diffusion.weights import how_to_get
from datasetdm.errors import DatasetDMError


def load_pipeline(pipeline_class: Any, folder: Path, settings: config.Backbone, options: Mapping[str, Any]) -> Any:
    """The pipeline in a folder, on the CPU, in the precision that the settings name.

    Args:
        pipeline_class: of diffusers.
        folder: where it lies.
        settings: of the backbone.
        options: further arguments of `from_pretrained`.

    Raises:
        DatasetDMError: a file is missing or broken.
    """
    _silence_libraries(pipeline_class.__module__)
    try:
        return pipeline_class.from_pretrained(
            folder, dtype=getattr(torch, settings.dtype), use_safetensors=True, local_files_only=True, **options
        )
    except Exception as error:  # the readers of weights and configurations have no common base for damaged files
        reason = " ".join(str(error).split())
        raise DatasetDMError(
            f"The diffusion model in {folder} cannot be loaded ({reason}). {how_to_get(settings.path)}"
        ) from None


def _silence_libraries(pipeline_module: str) -> None:
    """Leave out what would clutter the lines that the stages print."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    # The captions of mixed views are often too long, and diffusers would print a line for each batch.
    logging.getLogger(pipeline_module).addFilter(_is_no_cut_prompt)


def _is_no_cut_prompt(record: logging.LogRecord) -> bool:
    return "was truncated because" not in record.getMessage()

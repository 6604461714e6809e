"""Checkpoints of a training: tensors, numbers and text, never code."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from datasetdm.utils.files import replacing

log = logging.getLogger(__name__)


def write_checkpoint(file: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically."""
    with replacing(file) as temporary:
        torch.save(content, temporary)


def read_checkpoint(file: Path) -> Mapping[str, Any] | None:
    """The content of a checkpoint, on the CPU; None if the file is missing or damaged.

    A checkpoint only saves time: without it, the training starts from the beginning and ends with the same result.
    """
    if not file.exists():
        return None
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no common base class for the errors of a damaged file
        reason = " ".join(str(error).split()[:20]) or type(error).__name__
        log.warning("%s is damaged and is ignored; the training starts from the beginning (%s)", file, reason)
        return None
    return content if isinstance(content, Mapping) else None

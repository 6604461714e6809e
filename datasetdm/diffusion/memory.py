"""Whether a model fits into memory, and what would make it fit."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from datasetdm import config
from datasetdm.errors import DatasetDMError
from datasetdm.utils.memory import memory_of

GIB = 2**30


#: The weight files that are loaded; other files in the same folder, such as `model.fp16.safetensors`, are variants.
WEIGHTS = re.compile(r"(diffusion_pytorch_)?model(-\d+-of-\d+)?\.safetensors")


def count_parameters(folder: Path, without: Collection[str] = ()) -> dict[str, int]:
    """Parameters of each part of a pipeline in a folder, from the headers of its weight files.

    Args:
        folder: of the pipeline.
        without: parts that are not loaded.
    """
    counts: dict[str, int] = {}
    for file in sorted(folder.glob("*/*.safetensors")):
        part = file.parent.name
        if part not in without and WEIGHTS.fullmatch(file.name):
            counts[part] = counts.get(part, 0) + _count_in(file)
    return counts


def check_fits(parameters: Mapping[str, int], settings: config.Backbone, device: torch.device) -> None:
    """Refuse a model whose weights alone are larger than the memory of the device.

    Args:
        parameters: number for each part.
        settings: its precision, and whether its parts are on the device at the same time.
        device: where it is to run.

    Raises:
        DatasetDMError: it says which settings would fit.
    """
    available = memory_of(device)
    if needed(parameters, settings) <= available:
        return
    size = torch.finfo(getattr(torch, settings.dtype)).bits // 8
    parts = ", ".join(f"{part} {count * size / GIB:.1f}" for part, count in parameters.items())
    fitting = [
        f"{words} ({needed(parameters, changed) / GIB:.1f} GiB)"
        for words, changed in _alternatives(settings, device)
        if needed(parameters, changed) <= available
    ]
    remedy = f"What would fit, in params.yaml: {'; '.join(fitting)}." if fitting else "Choose a smaller model."
    raise DatasetDMError(
        f"The weights of {settings.path} take {needed(parameters, settings) / GIB:.1f} GiB in {settings.dtype} "
        f"({parts}), but {device} has {available / GIB:.1f} GiB. {remedy}"
    )


def needed(parameters: Mapping[str, int], settings: config.Backbone) -> int:
    """Bytes of weights on the device at the same time."""
    size = torch.finfo(getattr(torch, settings.dtype)).bits // 8
    counts = parameters.values()
    return size * (max(counts, default=0) if settings.cpu_offload else sum(counts))


@contextmanager
def explained(lower: str, *, batch_size: int, dtype: torch.dtype, cpu_offload: bool) -> Iterator[None]:
    """Within the block, running out of a GPU's memory is an error that says what is left to try.

    Args:
        lower: the setting that makes the batch smaller.
        batch_size: images in the batch.
        dtype: of the weights.
        cpu_offload: whether only the part that is at work is on the GPU.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        half = f"lower {lower} (this batch has {batch_size} images; half of them take about half the room)"
        remedies = {
            half: batch_size > 1,
            "set backbone.dtype to bfloat16": dtype == torch.float32,
            "set backbone.cpu_offload to true": not cpu_offload,
            "name fewer backbone.layers": True,
            "lower backbone.image_size": True,
        }
        raise DatasetDMError(
            f"The GPU ran out of memory ({str(error).splitlines()[0]}). In params.yaml, in this order: "
            f"{', '.join(remedy for remedy, helps in remedies.items() if helps)}."
        ) from None


def _alternatives(settings: config.Backbone, device: torch.device) -> Iterator[tuple[str, config.Backbone]]:
    half: dict[str, Any] = {"dtype": "bfloat16"} if settings.dtype == "float32" else {}
    offload: dict[str, Any] = {"cpu_offload": True} if device.type != "cpu" and not settings.cpu_offload else {}
    both = half | offload if half and offload else {}
    for changes in filter(None, (half, offload, both)):
        words = " and ".join(f"backbone.{name}: {str(value).lower()}" for name, value in changes.items())
        yield words, settings.model_copy(update=changes)


def _count_in(file: Path) -> int:
    try:
        with safe_open(file, framework="pt") as weights:
            return sum(prod(weights.get_slice(name).get_shape()) for name in weights.offset_keys())
    except Exception:  # a damaged file, which the loader is going to report
        return 0

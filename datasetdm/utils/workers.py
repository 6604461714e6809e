"""How many processes prepare what a training learns from."""

import torch

from datasetdm.utils.memory import memory_limit
from datasetdm.utils.processors import num_processors

_WORKER_MEMORY = 2**30  # bytes to allow for each process that prepares batches; an allowance, not a measurement


def num_workers(device: torch.device) -> int:
    """Processes that prepare batches. That is a small part of an iteration on the CPU; a GPU would wait for it."""
    return 0 if device.type == "cpu" else min(8, num_processors(), memory_limit() // _WORKER_MEMORY)

"""What all trainings have in common, whichever framework runs them."""

import os

import torch

WARMUP = 0.05  # of the iterations; then a cosine takes the learning rate down to zero
WEIGHT_DECAY = 0.05
MAX_GRADIENT_NORM = 5.0


def num_workers(device: torch.device) -> int:
    """Processes that prepare batches. That is a small part of an iteration on the CPU; a GPU would wait for it."""
    return 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)

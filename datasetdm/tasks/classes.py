"""Class logits of queries."""

from collections.abc import Sequence

import torch


def rule_out(logits: torch.Tensor, allowed: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits (B x Q x classes + 1, the last for "no object") with minus infinity for the classes that are not allowed.

    Args:
        logits: of the queries.
        allowed: the allowed labels of each image.
    """
    ruled_out = torch.ones(len(logits), 1, logits.shape[-1], dtype=torch.bool)
    ruled_out[..., -1] = False
    for image, labels in zip(ruled_out, allowed, strict=True):
        image[0, list(labels)] = False
    return logits.masked_fill(ruled_out, -torch.inf)

"""Thresholds for attention maps: for each class the one with the best IoU, leaning on that of all classes."""

from collections.abc import Iterable

import torch

LEVELS = torch.linspace(0.05, 0.95, 19)  # that are tried
PRIOR = 3.0  # the curve of all classes counts as much as so many images of the class itself


def iou_curve(found: torch.Tensor, truth: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """IoU of a map (h x w) with a true mask (bool, h x w) at each of `LEVELS`, over the valid cells (bool, h x w)."""
    inside = found[valid][None] > LEVELS.to(found.device)[:, None]
    true = truth[valid][None]
    together = (inside | true).sum(dim=1)
    return (inside & true).sum(dim=1).float().cpu() / together.clamp(min=1).cpu()


def best_thresholds(curves: Iterable[tuple[int, torch.Tensor]], count: int) -> tuple[torch.Tensor, float]:
    """A threshold for each of `count` classes, and the mean IoU that they reach.

    A class of which there are few images, or none, leans on the curve of all of them.

    Args:
        curves: class and `iou_curve` of each mask.
        count: number of classes.
    """
    sums, seen = torch.zeros(count, len(LEVELS)), torch.zeros(count)
    for label, curve in curves:
        sums[label] += curve
        seen[label] += 1
    if not seen.any():
        return torch.full((count,), 0.5), 0.0
    pooled = sums.sum(dim=0) / seen.sum()
    best = (sums + PRIOR * pooled).argmax(dim=1)
    reached = sums.gather(1, best[:, None]).sum() / seen.sum()
    return LEVELS[best], float(reached)

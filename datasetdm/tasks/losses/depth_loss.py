"""Depth from the dense map of a decoder, and its loss."""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

VARIANCE_FOCUS = 0.5  # lambda of Eigen et al.: 0 punishes a wrong scale in full, 1 not at all


def log_depth(dense: torch.Tensor, max_depth: float) -> torch.Tensor:
    """The logarithm of sigmoid(dense) x max_depth in metres, without ever taking the logarithm of 0.

    This is the paper's form. It is nearly logarithmic for all that is much nearer than `max_depth`, which most pixels
    are. Unlike a scale that is logarithmic between a smallest and a largest depth, it needs no smallest depth (that is
    only a bound of the evaluation, far below any depth in the data), and its gradient fades only at `max_depth`.
    """
    return F.logsigmoid(dense) + math.log(max_depth)


def scale_invariant_loss(
    predicted: torch.Tensor, targets: Sequence[torch.Tensor], valid_masks: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Scale-invariant logarithmic loss (Eigen et al., arXiv 1406.2283, equation 4), mean over the images.

    With g the difference of the logarithms at n valid pixels: sum(g^2) / n - lambda (sum(g) / n)^2.

    Args:
        predicted: B x h x w, logarithms of metres.
        targets: B maps, h x w, metres.
        valid_masks: B masks, bool, h x w; an image without a valid pixel does not count.

    Returns:
        A scalar with a gradient, 0 where no image counts.
    """
    valid = torch.stack(list(valid_masks))
    truth = torch.stack(list(targets)).to(predicted).where(valid, 1.0).log()
    difference = (predicted - truth).where(valid, 0.0).flatten(1)
    count = valid.flatten(1).sum(dim=1)
    mean = difference.sum(dim=1) / count.clamp(min=1)
    mean_square = difference.square().sum(dim=1) / count.clamp(min=1)
    losses = mean_square - VARIANCE_FOCUS * mean.square()
    return losses.sum() / (count > 0).sum().clamp(min=1)

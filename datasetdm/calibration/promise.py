"""Learn then test: the loosest threshold for which the labels can be promised (Angelopoulos et al., arXiv 2110.01052).

Every image that passes has a loss in [0, 1], the share of its labels that are wrong. A threshold keeps the promise if
the mean loss over all images that would pass is at most 1 - precision. Images that nothing was learnt from tell: the
test of Hoeffding and Bentkus gives a p-value for "this threshold breaks the promise", valid for any number of images.
Thresholds are tested in a fixed order, from strict to loose, until one fails; as the order does not depend on the
outcome, no further correction is needed within a chain, and the chains share the allowed error (`starts`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, xlogy

from datasetdm.config.synthesis import CHAINS

#: Confidences that are tried as thresholds, from strict to loose.
GRID: tuple[float, ...] = tuple(round(0.98 - 0.02 * step, 2) for step in range(48))
CHAIN_DISTANCE = 0.16  # between the first thresholds of the chains; the first chain begins at the promised precision


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a threshold did.

    Attributes:
        threshold: the lowest confidence that passes.
        images: how many images pass.
        parts: how many labels these have.
        precision: the mean share of right labels in an image that passes; NaN if none does.
        kept: whether the promise is kept, with the probability asked for.
    """

    threshold: float
    images: int
    parts: int
    precision: float
    kept: bool


def p_value(losses: np.ndarray, limit: float) -> float:
    """How likely such low losses (each in [0, 1]) are if their true mean is above `limit`; at most this.

    The smaller of Hoeffding's and Bentkus's bounds (Bates et al., arXiv 2101.02703, theorem 1 and 2 of section 3.1).
    """
    count = len(losses)
    if not count:
        return 1.0
    mean = float(losses.mean())
    low = min(mean, limit)
    distance = xlogy(low, low / limit) + xlogy(1 - low, (1 - low) / (1 - limit))
    # Rounded, because 0.1 + 0.2 is a little more than 0.3, and `ceil` would make one loss more of it.
    bentkus = math.e * bdtr(math.ceil(round(count * mean, 9)), count, limit)
    return float(min(math.exp(-count * distance), bentkus, 1.0))


def starts(precision: float) -> list[float]:
    """The first thresholds of the chains: the promised precision, and two below it.

    Parts with a confidence above the promise keep it by far if confidences are true, but few may be left; a chain that
    begins lower has more images to show for it. Each chain gets an equal part of the allowed error.
    """
    return [
        next(value for value in GRID if value <= max(precision - CHAIN_DISTANCE * number, GRID[-1]) + 1e-9)
        for number in range(CHAINS)
    ]


def try_thresholds(
    pass_at: Callable[[float], Sequence[tuple[float, int]]], precision: float, confidence: float
) -> list[Trial]:
    """The thresholds of all chains, each once, strict to loose.

    Args:
        pass_at: a threshold -> for each image that passes, the share of its labels that are wrong, and their number.
        precision: what is to be promised.
        confidence: with which probability, over the images that happen to be there, the promise has to hold.
    """
    trials: dict[float, Trial] = {}
    for start in starts(precision):
        for threshold in (value for value in GRID if value <= start):
            if threshold not in trials:
                passed = pass_at(threshold)
                losses = np.array([loss for loss, _ in passed])
                trials[threshold] = Trial(
                    threshold=threshold,
                    images=len(passed),
                    parts=sum(parts for _, parts in passed),
                    precision=1 - float(losses.mean()) if len(losses) else math.nan,
                    kept=p_value(losses, 1 - precision) <= (1 - confidence) / CHAINS,
                )
            if not trials[threshold].kept:
                break
    return [trials[threshold] for threshold in sorted(trials, reverse=True)]

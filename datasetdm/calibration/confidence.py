"""From a score to the probability that it is right: a logistic curve (Platt scaling) with a shift for each category.

The shifts are drawn towards zero, so that a category counts for as much as its own data can show (a random intercept):
one that was seen twice keeps the common curve, one that was seen a hundred times has nearly a curve to itself.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from datasetdm.calibration.judges import Parts

CLIP = 1e-3  # scores are kept this far from 0 and 1, where their log odds would be infinite
SHIFT_SPREAD = 1.0  # standard deviation, in log odds, that shifts of categories are expected to have


@dataclass(frozen=True)
class Confidence:
    """A fitted curve: expit(slope * logit(score) + offset + shift of the category).

    Attributes:
        slope: 0 or more, so that within a category a higher score is never less likely to be right.
        offset: in log odds.
        shifts: category label -> log odds; others have none.
    """

    slope: float
    offset: float
    shifts: dict[int, float]

    def of(self, parts: Parts) -> np.ndarray:
        """The probability (float, N) that each part is right."""
        shifts = np.array([self.shifts.get(int(label), 0.0) for label in parts.labels])
        return expit(self.slope * _log_odds(parts.scores) + self.offset + shifts)


def fit_confidence(parts: Parts, right: np.ndarray) -> Confidence:
    """The curve with the highest penalised likelihood.

    Args:
        parts: of any number of images together.
        right: how far each is right, in [0, 1].
    """
    labels, place = np.unique(parts.labels, return_inverse=True)
    # Two made-up parts of middling score, one right and one wrong, keep the curve finite when all are right.
    odds = np.append(_log_odds(parts.scores), [0.0, 0.0])
    truth = np.append(right, [1.0, 0.0])

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset, shifts = values[0], values[1], values[2:]
        line = slope * odds + offset + np.append(shifts[place], [0.0, 0.0])
        error = expit(line) - truth
        cost = np.logaddexp(0, line).sum() - (truth * line).sum() + (shifts**2).sum() / (2 * SHIFT_SPREAD**2)
        by_category = np.bincount(place, weights=error[:-2], minlength=len(labels)) + shifts / SHIFT_SPREAD**2
        return cost, np.concatenate([[(error * odds).sum(), error.sum()], by_category])

    start = np.concatenate([[1.0, 0.0], np.zeros(len(labels))])
    bounds = [(0, None), (None, None)] + [(None, None)] * len(labels)
    best = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return Confidence(float(best[0]), float(best[1]), dict(zip(labels.tolist(), best[2:].tolist(), strict=True)))


def _log_odds(scores: np.ndarray) -> np.ndarray:
    return logit(np.clip(scores, CLIP, 1 - CLIP))

"""The computations behind the tables, on plain arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from scipy.spatial.distance import cdist

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(2, 19))  # tried for a detector's scores
RIDGE = 1e-2  # of the probe, relative to features of variance 1


def psnr(image: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images; infinite where they are the same."""
    error = np.mean((image.astype(np.float64) - other.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


# --- what is seen against what was asked for


def count_labels(labels: Sequence[np.ndarray], num_categories: int) -> np.ndarray:
    """How many objects of each category each image has: int64, N x C, of N lists of labels."""
    return np.array([np.bincount(row, minlength=num_categories) for row in labels]).reshape(-1, num_categories)


def found_rates(asked: np.ndarray, seen: np.ndarray) -> tuple[float, np.ndarray]:
    """Of the categories asked for, the share that is seen at all: overall, and per category (NaN: never asked for).

    Args:
        asked: objects of each category that a prompt names, N x C.
        seen: objects of each category that are found in its image, N x C.
    """
    wanted, hits = asked > 0, (asked > 0) & (seen > 0)
    return float(_share(hits.sum(), wanted.sum())), _share(hits.sum(axis=0), wanted.sum(axis=0))


def count_rates(asked: np.ndarray, seen: np.ndarray, numbers: Sequence[int]) -> tuple[float, np.ndarray]:
    """How often exactly as many objects are seen as are asked for: overall, and for each of the `numbers`."""
    cases = [asked == number for number in numbers]
    hits = np.array([(case & (seen == asked)).sum() for case in cases])
    totals = np.array([case.sum() for case in cases])
    return float(_share(hits.sum(), totals.sum())), _share(hits, totals)


def unasked_objects(asked: np.ndarray, seen: np.ndarray) -> float:
    """Objects per image of categories that nobody asked for."""
    return float(np.where(asked == 0, seen, 0).sum(axis=1).mean())


def agreement(asked: np.ndarray, seen: np.ndarray) -> float:
    """Of the categories asked for or seen in an image, the share with the right number of objects."""
    either = (asked > 0) | (seen > 0)
    return float(_share((either & (asked == seen)).sum(), either.sum()))


def best_threshold(asked: np.ndarray, found: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """The score from which on detections are best believed: the one with the most agreement.

    Args:
        asked: true objects of each category, N x C.
        found: labels and scores of the detections in each of the N images.
    """

    def merit(threshold: float) -> float:
        labels = [labels[scores >= threshold] for labels, scores in found]
        return agreement(asked, count_labels(labels, asked.shape[1]))

    return max(THRESHOLDS, key=merit)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)[()]


# --- distributions of features


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Of the Gaussians fitted to two sets of features, N x D and M x D (Heusel et al., arXiv 1706.08500)."""
    return gaussian_distance(
        first.mean(axis=0), np.cov(first, rowvar=False), second.mean(axis=0), np.cov(second, rowvar=False)
    )


def gaussian_distance(mean: np.ndarray, covariance: np.ndarray, mean2: np.ndarray, covariance2: np.ndarray) -> float:
    """Squared Frechet distance of two Gaussians.

    The trace of the root of a matrix is the sum of the roots of its eigenvalues, which exist for singular matrices too
    (fewer images than features).
    """
    roots = np.sqrt(scipy.linalg.eigvals(covariance @ covariance2).astype(complex)).real.sum()
    traces = np.trace(covariance) + np.trace(covariance2)
    return float(((mean - mean2) ** 2).sum() + traces - 2 * roots)


def manifold_figures(real: np.ndarray, drawn: np.ndarray, neighbours: int = 5) -> dict[str, float]:
    """Coverage, density and precision (Naeem et al., arXiv 2002.09797; precision of arXiv 1904.06991).

    Around every real image lies a ball that reaches to its k-th nearest real neighbour. Coverage is the share of balls
    with a drawn image inside, density how many balls a drawn image lies in (1 is as dense as the real ones), precision
    the share of drawn images in any ball.

    Args:
        real: features, N x D, N above `neighbours`.
        drawn: features, M x D.
        neighbours: k.
    """
    radii = np.partition(cdist(real, real), neighbours, axis=1)[:, neighbours]  # the nearest of all is itself
    inside = cdist(real, drawn) < radii[:, None]
    return {
        "coverage": float(inside.any(axis=1).mean()),
        "density": float(inside.sum(axis=0).mean() / neighbours),
        "precision": float(inside.any(axis=0).mean()),
    }


# --- a probe


@dataclass(frozen=True)
class Probe:
    """A linear classifier on standardised features.

    Attributes:
        classes: names, K.
        mean, scale: of the features, D.
        weights: (D + 1) x K, the last row for the constant.
    """

    classes: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, names: Sequence[str]) -> "Probe":
        """Least squares onto the indicators of the classes, every class with the same weight in all."""
        classes = tuple(sorted(set(names)))
        indicators = np.array([[name == one for one in classes] for name in names], dtype=np.float64)
        mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
        inputs = _with_constant((features - mean) / scale)
        importance = indicators @ (1 / indicators.sum(axis=0) / len(classes))
        weighted = inputs * importance[:, None]
        penalty = RIDGE * np.eye(inputs.shape[1])
        penalty[-1, -1] = 0.0
        weights = scipy.linalg.solve(weighted.T @ inputs + penalty, weighted.T @ indicators, assume_a="pos")
        return cls(classes, mean, scale, weights)

    def read(self, features: np.ndarray) -> list[str]:
        """The class of each row of features, N x D."""
        best = (_with_constant((features - self.mean) / self.scale) @ self.weights).argmax(axis=1)
        return [self.classes[index] for index in best]


def _with_constant(features: np.ndarray) -> np.ndarray:
    return np.column_stack([features, np.ones(len(features))])

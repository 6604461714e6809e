"""Which parts of a predicted annotation are right: objects, persons, or the pixels of a semantic map."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from datasetdm.annotations.categories import background_labels
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.matching import mask_ious
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.evaluation.similarity import keypoint_similarity

RIGHT = 0.5  # the IoU, or the OKS, from which an object counts as found
IN_CROWD = 0.5  # the share of an object inside a crowd region, from which nobody can say whether it is right
UNKNOWN = np.nan


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of an annotation that have scores.

    Attributes:
        scores: float, N, in [0, 1].
        labels: int, N; the category of each part, or 0 where parts have none.
    """

    scores: np.ndarray
    labels: np.ndarray


class Judge(ABC):
    """Knows the parts of one kind of annotation.

    Args:
        categories: in label order.
    """

    def __init__(self, categories: Sequence[Category]):
        self.categories = tuple(categories)

    @abstractmethod
    def parts(self, prediction: Prediction) -> Parts:
        """The scored parts of a prediction."""

    @abstractmethod
    def rescored(self, prediction: Prediction, scores: np.ndarray) -> Prediction:
        """The prediction with other scores (float, N) for its parts, best first."""

    @abstractmethod
    def right(self, found: Any, truth: Any) -> np.ndarray:
        """How far each part of the annotation `found` is right (float, N, in [0, 1]); NaN where nobody can tell."""


class ObjectJudge(Judge):
    """An object is right if it has the category of a true object and an IoU of 0.5 or more with it."""

    def parts(self, prediction: Prediction) -> Parts:
        """See `Judge.parts`: the objects."""
        return Parts(scores=prediction.target.scores.astype(np.float64), labels=prediction.target.labels)

    def rescored(self, prediction: Prediction, scores: np.ndarray) -> Prediction:
        """See `Judge.rescored`."""
        found = replace(prediction.target, scores=scores.astype(np.float32))
        return _best_first(found, prediction.score)

    def right(self, found: Instances, truth: Instances) -> np.ndarray:
        """See `Judge.right`.

        Each true object is found once, by the best that fits. Nobody can tell of what lies in a crowd, nor, in a
        federated annotation, of categories that were not looked for everywhere. Regions to ignore claim nothing.
        """
        objects, crowds = truth.select(~truth.crowd), truth.select(truth.crowd)
        fits = mask_ious(found.masks, objects.masks) * (found.labels[:, None] == objects.labels[None])
        fits[found.crowd] = 0
        verdict = _matched(fits, found.scores)
        unclear = found.crowd | _covered(found.masks, found.labels, crowds)
        unclear |= np.isin(found.labels, truth.not_exhaustive)
        if truth.judged is not None:
            unclear |= ~np.isin(found.labels, truth.judged)
        return np.where((verdict == 0) & unclear, UNKNOWN, verdict)


class PersonJudge(Judge):
    """A person is right if the similarity (OKS) of its keypoints with those of a true person is 0.5 or more."""

    def parts(self, prediction: Prediction) -> Parts:
        """See `Judge.parts`: the persons."""
        scores = prediction.target.scores.astype(np.float64)
        return Parts(scores=scores, labels=np.zeros(len(scores), dtype=np.int64))

    def rescored(self, prediction: Prediction, scores: np.ndarray) -> Prediction:
        """See `Judge.rescored`."""
        return _best_first(replace(prediction.target, scores=scores.astype(np.float32)), prediction.score)

    def right(self, found: Persons, truth: Persons) -> np.ndarray:
        """See `Judge.right`; nobody can tell of a person without keypoints, or where the true one has none."""
        labelled = truth.select(truth.with_keypoints)
        verdict = _matched(keypoint_similarity(found, labelled), found.scores)
        others = truth.select(~truth.with_keypoints)
        nothing_said = ~(found.keypoints[..., 2] > 0).any(axis=1)
        hidden = mask_ious(found.masks, others.masks).max(axis=1, initial=0) >= RIGHT
        return np.where(nothing_said | ((verdict == 0) & hidden), UNKNOWN, verdict)


class MapJudge(Judge):
    """A semantic map has one score, and is as right as the share of the right ones among the pixels with a category."""

    def parts(self, prediction: Prediction) -> Parts:
        """See `Judge.parts`: the whole map."""
        return Parts(scores=np.array([prediction.score]), labels=np.zeros(1, dtype=np.int64))

    def rescored(self, prediction: Prediction, scores: np.ndarray) -> Prediction:
        """See `Judge.rescored`."""
        return replace(prediction, score=float(scores[0]))

    def right(self, found: SemanticMap, truth: SemanticMap) -> np.ndarray:
        """See `Judge.right`; background and ignored pixels of either map do not count."""
        said = ~np.isin(found.labels, [IGNORE, *background_labels(self.categories)]) & (truth.labels != IGNORE)
        share = (found.labels == truth.labels)[said].mean() if said.any() else UNKNOWN
        return np.array([share])


def _best_first(found: Any, score: float) -> Prediction:
    target = found.select(np.argsort(-found.scores, kind="stable"))
    return Prediction(target=target, score=float(target.scores.mean()) if len(target) else score)


def _matched(fits: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """1 for each row that gets a column with a fit of `RIGHT` or more, else 0; higher scores choose first."""
    verdict, free = np.zeros(len(fits)), np.ones(fits.shape[1], dtype=bool)
    for row in np.argsort(-scores, kind="stable"):
        values = np.where(free, fits[row], 0)
        if values.max(initial=0) >= RIGHT:
            verdict[row], free[values.argmax()] = 1, False
    return verdict


def _covered(masks: np.ndarray, labels: np.ndarray, crowds: Instances) -> np.ndarray:
    """Which objects lie in crowd regions of their category by half or more."""
    return np.array(
        [
            (mask & crowds.masks[crowds.labels == label].any(axis=0)).sum() >= IN_CROWD * max(mask.sum(), 1)
            for mask, label in zip(masks, labels, strict=True)
        ],
        dtype=bool,
    )

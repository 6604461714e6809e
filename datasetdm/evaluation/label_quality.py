"""How far labels can be trusted: a model that did not learn from them says where it sees something else.

For objects and semantic maps these are cleanlab's scores: ObjectLab (Tkachenko, Thyagarajan and Mueller, arXiv
2309.00832) and the soft minimum over pixels of Lad and Mueller, arXiv 2307.05080. cleanlab has none for poses and dense
depth; there it is the field's own similarity: COCO's OKS, and delta1.

A low score is a question to a person, no verdict: the model may be the one that is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Protocol

import numpy as np

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap, counted_mask
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.masks import boxes_of_masks
from datasetdm.annotations.matching import keypoint_closeness
from datasetdm.annotations.persons import KEYPOINTS, Persons
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.errors import DatasetDMError
from datasetdm.task_parts import TASKS

AGREES = "the model agrees"
# cleanlab's thresholds (0.95 and 0.5) are for scores near 1 of detectors that learnt from many images. Those of a model
# that learnt from a few dozen are lower.
_SURE, _SEEN = 0.6, 0.3
_LOWEST = 0.01  # score of a kind of mistake, so that one kind does not outweigh all others
_FITS = 0.5  # IoU or OKS from which on a label and a prediction are of the same object


@dataclass(frozen=True)
class Doubt:
    """What is to be said of the labels of one image.

    Attributes:
        score: from 0 (most likely wrong) to 1.
        reason: the worst that the model sees, in a few words.
    """

    score: float
    reason: str


class LabelQuality(Protocol):
    """Compares labels with what a model finds, one image at a time."""

    def add(self, target: Any, predicted: Any) -> None:
        """Add one image: its labels, and the annotation that the model gives it."""

    def compute(self) -> list[Doubt]:
        """The doubts about all images, in the order in which they were added."""


def build_quality(settings: config.TaskSettings, categories: Sequence[Category]) -> LabelQuality:
    """A new comparison for a task.

    Args:
        settings: of the task.
        categories: in label order.

    Raises:
        DatasetDMError: the task has none.
    """
    named = TASKS[settings.name].quality
    if named is None:
        raise DatasetDMError(
            f"Labels of the task '{settings.name}' cannot be compared: its `TaskParts` name no `quality`."
        )
    quality: LabelQuality = resolve_name(named)(settings, categories)
    return quality


class ObjectQuality:
    """Objects by their boxes: overlooked, badly located, of another category (ObjectLab), or seen by nobody else.

    The last is not cleanlab's, for which a label without any prediction is right. A P-Decoder finds objects where there
    are none, so the score of a label is also the confidence of the surest prediction that fits it.
    """

    def __init__(self, settings: config.TaskSettings, categories: Sequence[Category]):
        self._nouns = [category.noun for category in categories]
        self._labels: list[dict[str, np.ndarray]] = []
        self._found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, target: Instances, predicted: Instances) -> None:
        """See `LabelQuality.add`; crowds are left out, and so are predictions of what annotators did not look for."""
        kept = target.select(np.flatnonzero(~target.crowd & target.masks.any(axis=(1, 2))))
        judged = np.ones(len(predicted), dtype=bool)
        if target.judged is not None:
            judged = np.isin(predicted.labels, sorted({*target.judged} - {*target.not_exhaustive}))
        seen = predicted.select(np.flatnonzero(judged & predicted.masks.any(axis=(1, 2))))
        self._labels.append({"bboxes": _corners(kept.masks), "labels": kept.labels})
        self._found.append((_corners(seen.masks), seen.labels, seen.scores))

    def compute(self) -> list[Doubt]:
        """See `LabelQuality.compute`."""
        if not self._labels:
            return []
        from cleanlab.object_detection import rank  # it imports scikit-learn

        predictions = [self._by_category(*found) for found in self._found]
        given: dict[str, Any] = {"labels": self._labels, "predictions": predictions}
        overlooked = rank.compute_overlooked_box_scores(**given, high_probability_threshold=_SURE)
        misplaced = rank.compute_badloc_box_scores(**given, low_probability_threshold=_SEEN)
        swapped = rank.compute_swap_box_scores(**given, high_probability_threshold=_SURE)
        unseen = [_support(label, found) for label, found in zip(self._labels, self._found, strict=True)]
        kinds = (overlooked, misplaced, swapped, unseen)
        pooled = np.stack([rank.pool_box_scores_per_image(scores) for scores in kinds]).clip(_LOWEST, 1)
        scores = np.exp(np.log(pooled).mean(axis=0))  # as cleanlab joins its kinds
        return [
            Doubt(float(score), self._reason(position, pooled[:, position], kinds))
            for position, score in enumerate(scores)
        ]

    def _by_category(self, boxes: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """mmdet's form, as cleanlab takes it: for each category M x 5."""
        rows = np.column_stack([boxes, scores])
        found = np.empty(len(self._nouns), dtype=object)
        for label in range(len(self._nouns)):
            found[label] = rows[labels == label]
        return found

    def _reason(self, position: int, pooled: np.ndarray, kinds: Sequence[Sequence[np.ndarray]]) -> str:
        kind = int(pooled[:3].argmin())
        if pooled[kind] > 0.5:  # cleanlab's kinds say more, where there is one
            kind = 3
        if pooled[kind] > 1 - 1e-3:
            return AGREES
        worst = int(np.nanargmin(kinds[kind][position]))
        labels, (_, found_labels, found_scores) = self._labels[position]["labels"], self._found[position]
        if kind == 0:
            order = np.argsort(found_labels, kind="stable")  # cleanlab goes through the predictions by category
            seen = order[worst]
            return (
                f"no label on what the model takes for a {self._nouns[found_labels[seen]]} ({found_scores[seen]:.0%})"
            )
        noun = self._nouns[labels[worst]]
        return (
            f"the outline of a {noun} is not where the model sees it",
            f"the model takes a labelled {noun} for something else",
            f"the model sees no {noun} where one is labelled",
        )[kind - 1]


def _support(label: dict[str, np.ndarray], found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """For each labelled object the confidence of the surest prediction of its category that fits it, up to `_SURE`
    of it, from where on it counts as 1."""
    boxes, labels, scores = found
    support = np.zeros(len(label["labels"]))
    for position, (box, own) in enumerate(zip(label["bboxes"], label["labels"], strict=True)):
        fitting = scores[(labels == own) & (_overlaps(box, boxes) >= _FITS)]
        support[position] = min(float(fitting.max(initial=0.0)) / _SURE, 1.0)
    return support


def _corners(masks: np.ndarray) -> np.ndarray:
    """Boxes of masks as left, top, right, bottom; float64, N x 4."""
    boxes = boxes_of_masks(masks).astype(np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of a box with others."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = sides.clip(0).prod(axis=1)
    whole = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return np.asarray(shared / np.maximum(whole - shared, 1e-9))


class MapQuality:
    """Semantic maps by the probability that the model gives to each labelled pixel, its soft minimum over the image.

    Pixels without a label are left out. The model only tells the probability of the category that it chose; the rest is
    taken as evenly spread over the other categories.
    """

    def __init__(self, settings: config.TaskSettings, categories: Sequence[Category]):
        self._nouns = [category.noun for category in categories]
        self._doubts: list[Doubt] = []

    def add(self, target: SemanticMap, predicted: SemanticMap) -> None:
        """See `LabelQuality.add`."""
        from cleanlab.segmentation.rank import get_label_quality_scores

        known = (target.labels != IGNORE) & (predicted.labels != IGNORE)
        if not known.any():
            self._doubts.append(Doubt(1.0, "nothing is labelled"))
            return
        given, own = target.labels[known], predicted.labels[known]
        confidence = predicted.confidence[known].astype(np.float64)
        others = (1 - confidence) / max(1, len(self._nouns) - 1)
        probability = np.where(given == own, confidence, np.minimum(others, 1 - confidence))
        # As two classes, right and wrong, in a strip: the score of an image asks for no more than these.
        strip = np.stack([1 - probability, probability])[None, :, None]
        (score,) = get_label_quality_scores(np.ones((1, 1, given.size), dtype=int), strip, verbose=False)[0]
        self._doubts.append(Doubt(float(score), self._reason(given, own)))

    def compute(self) -> list[Doubt]:
        """See `LabelQuality.compute`."""
        return self._doubts

    def _reason(self, given: np.ndarray, own: np.ndarray) -> str:
        wrong = given != own
        if not wrong.any():
            return AGREES
        pairs, counts = np.unique(np.stack([given[wrong], own[wrong]]), axis=1, return_counts=True)
        label, seen = pairs[:, counts.argmax()]
        share = counts.max() / given.size
        return f"labelled {self._nouns[label]}, {self._nouns[seen]} to the model, on {share:.0%} of the image"


class DepthQuality:
    """Depth maps by the share of their pixels whose depth the model confirms up to a factor of 1.25 (delta1)."""

    def __init__(self, settings: config.DepthAnnotation, categories: Sequence[Category]):
        self._range = settings.min_depth, settings.max_depth
        self._doubts: list[Doubt] = []

    def add(self, target: DepthMap, predicted: DepthMap) -> None:
        """See `LabelQuality.add`."""
        known = counted_mask(target, *self._range) & predicted.valid_mask & (predicted.depth > 0)
        if not known.any():
            self._doubts.append(Doubt(1.0, "no depth is labelled"))
            return
        factor = predicted.depth[known] / target.depth[known]
        score = float((np.maximum(factor, 1 / factor) < 1.25).mean())
        typical = float(np.median(factor))
        self._doubts.append(Doubt(score, f"the model sees {typical:.2f} times the labelled depth, as a median"))

    def compute(self) -> list[Doubt]:
        """See `LabelQuality.compute`."""
        return self._doubts


class PoseQuality:
    """Poses by COCO's object keypoint similarity (OKS) of each person with the model's; the lowest of an image."""

    def __init__(self, settings: config.TaskSettings, categories: Sequence[Category]):
        self._doubts: list[Doubt] = []

    def add(self, target: Persons, predicted: Persons) -> None:
        """See `LabelQuality.add`; persons without keypoints are left out."""
        lowest, reason = 1.0, AGREES
        for person in np.flatnonzero(target.with_keypoints):
            points, area = target.keypoints[person], target.masks[person].sum()
            labelled = points[:, 2] > 0
            similarity = [keypoint_closeness(points, other, area)[labelled] for other in predicted.keypoints]
            best = max(similarity, key=lambda values: float(values.mean()), default=np.zeros(1))
            if best.mean() < lowest:
                lowest = float(best.mean())
                names = np.array(KEYPOINTS)[labelled]
                worst = str(names[best.argmin()]).replace("_", " ") if similarity else ""
                reason = f"the {worst} of a person is elsewhere to the model" if worst else "the model sees no person"
        self._doubts.append(Doubt(lowest, reason))

    def compute(self) -> list[Doubt]:
        """See `LabelQuality.compute`."""
        return self._doubts

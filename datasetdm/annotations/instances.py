"""Objects with a mask and a category each: the annotation of instance segmentation."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from datasetdm.annotations.annotation import choose_some
from datasetdm.annotations.masks import warp_masks
from datasetdm.annotations.matching import group_objects, mask_ious, matched_similarity, voted_mask

VISIBLE_SHARE = 0.1  # of an object that has to stay visible when others are pasted over it


@dataclass(frozen=True, kw_only=True)
class Instances:
    """Objects of one image: the annotation (scores all 1) or a prediction of the `instance` task.

    Attributes:
        masks: bool, N x H x W, visible pixels of each object. (`Split.compact` gives an `EncodedMasks` instead, which
            readers can iterate over mask by mask.)
        labels: int64, N, index into the data set's categories.
        scores: float32, N, in [0, 1].
        crowd: bool, N; a crowd region is neither learnt nor evaluated (COCO's `iscrowd`).
        judged: the labels that annotators looked for in this image, those of its objects among them; a detection of
            any other is neither right nor wrong. None: all labels. (LVIS's "federated" annotation, arXiv 1908.03195)
        not_exhaustive: those of them that may have further objects, which nobody annotated; a detection of them that
            matches no object is neither right nor wrong.
    """

    masks: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    crowd: np.ndarray
    judged: tuple[int, ...] | None = None
    not_exhaustive: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.masks)
        if self.masks.ndim != 3 or not (len(self.labels) == len(self.scores) == len(self.crowd) == count):
            raise ValueError("masks must be N x H x W and labels, scores, crowd of length N")
        if self.judged is not None and not {*self.labels.tolist(), *self.not_exhaustive} <= {*self.judged}:
            raise ValueError("what is annotated, exhaustively or not, must be among the judged labels")

    def __len__(self) -> int:
        return len(self.masks)

    @classmethod
    def of(cls, masks: np.ndarray, labels: np.ndarray, scores: np.ndarray | None = None) -> Self:
        """Instances without crowds; scores default to 1."""
        count = len(masks)
        return cls(
            masks=np.asarray(masks, dtype=bool),
            labels=np.asarray(labels, dtype=np.int64),
            scores=np.ones(count, np.float32) if scores is None else np.asarray(scores, dtype=np.float32),
            crowd=np.zeros(count, dtype=bool),
        )

    @classmethod
    def empty(cls, height: int, width: int) -> Self:
        """No object at all."""
        return cls.of(np.zeros((0, height, width), dtype=bool), np.zeros(0, dtype=np.int64))

    def select(self, index: np.ndarray) -> Self:
        """The instances that `index` (boolean mask or integer indices) picks; what was judged stays the same."""
        return replace(
            self,
            masks=self.masks[index],
            labels=self.labels[index],
            scores=self.scores[index],
            crowd=self.crowd[index],
        )

    def warp(self, matrix: np.ndarray, size: tuple[int, int]) -> Self:
        """See `Annotation.warp`; objects without a pixel left are dropped; `judged` stays, as they are absent now."""
        masks = warp_masks(self.masks, matrix, size)
        return replace(self, masks=masks).select(np.flatnonzero(masks.any(axis=(1, 2))))

    def zoomed(self, factor: float) -> Self:
        """The objects themselves: a lens does not change them."""
        return self

    @classmethod
    def merge(cls, parts: Sequence[Self]) -> Self:
        """All objects of the parts, in their order; judged is what was judged in every part."""
        judged, not_exhaustive = _judged_together(parts)
        return cls(
            masks=np.concatenate([part.masks for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
            scores=np.concatenate([part.scores for part in parts]),
            crowd=np.concatenate([part.crowd for part in parts]),
            judged=judged,
            not_exhaustive=not_exhaustive,
        )

    def paste(self, source: Self, labels: Collection[int], rng: np.random.Generator) -> tuple[np.ndarray, Self] | None:
        """See `Annotation.paste`; objects of which less than a tenth stays visible are dropped."""
        objects = source.select(np.flatnonzero(~source.crowd & np.isin(source.labels, list(labels))))
        if not len(objects):
            return None
        objects = objects.select(choose_some(len(objects), rng))
        region = np.asarray(objects.masks.any(axis=0))
        left = replace(self, masks=self.masks & ~region)
        visible = left.masks.sum(axis=(1, 2)) > VISIBLE_SHARE * self.masks.sum(axis=(1, 2))
        return region, self.merge([left.select(np.flatnonzero(visible)), objects])

    def relabelled(self, table: np.ndarray) -> Self:
        """See `Annotation.relabelled`.

        A new label was judged throughout only if it has old ones and all of them were; if only some were, the image may
        hold further objects of it.
        """
        judged, not_exhaustive = None, {int(table[label]) for label in self.not_exhaustive}
        labels = table[self.labels]
        if self.judged is not None:
            old = [{*np.flatnonzero(table == new).tolist()} for new in range(int(table.max()) + 1)]
            whole = {new for new, parts in enumerate(old) if parts and parts <= {*self.judged}}
            there = {*labels.tolist(), *not_exhaustive}
            not_exhaustive |= there - whole
            judged = tuple(sorted(whole | there))
        return replace(self, labels=labels, judged=judged, not_exhaustive=tuple(sorted(not_exhaustive)))

    def agreement(self, other: Self) -> float:
        """See `Comparable.agreement`: the IoU of each object with its partner of the same label in the other reading.

        Objects without a partner count as 0; each counts as much as its score says.
        """
        same = self.labels[:, None] == other.labels[None]
        return matched_similarity(same * mask_ious(self.masks, other.masks), self.scores, other.scores)

    @classmethod
    def consensus(cls, readings: Sequence[Self]) -> Self:
        """See `Comparable.consensus`, best object first.

        An object has the pixels and the label for which most of its readings vote, each with its score (compare
        weighted boxes fusion, Solovyev et al., arXiv 1910.13302). Its score is the sum of those that vote for this
        label, divided by the number of all readings: what half of them see is worth half.
        """
        if len(readings) == 1:
            return readings[0]
        groups = group_objects([one.masks for one in readings], [one.scores for one in readings])
        votes = [_vote([readings[reading].select(np.array([number])) for reading, number in group]) for group in groups]
        if not votes:
            return readings[0]
        masks, labels, scores = zip(*votes, strict=True)
        found = cls.of(np.stack(masks), np.array(labels), np.array(scores) / len(readings))
        return found.select(np.argsort(-found.scores, kind="stable"))

    def object_labels(self) -> tuple[int, ...]:
        """See `Annotation.object_labels`."""
        return tuple(self.labels[~self.crowd].tolist())

    def category_labels(self) -> tuple[int, ...]:
        """The label of each object, crowds left out."""
        return self.object_labels()


def _vote(readings: Sequence[Instances]) -> tuple[np.ndarray, int, float]:
    """Mask (bool, H x W), label and sum of scores of one object of which there are several readings."""
    scores = np.concatenate([reading.scores for reading in readings])
    labels = np.concatenate([reading.labels for reading in readings])
    masks = np.concatenate([reading.masks for reading in readings])
    sums = np.bincount(labels, weights=scores)
    return voted_mask(masks, scores), int(sums.argmax()), float(sums.max())


def _judged_together(parts: Sequence[Instances]) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """`judged` and `not_exhaustive` of the whole: a category that annotators looked for in some parts only may have
    further objects."""
    judged_sets = [set(part.judged) for part in parts if part.judged is not None]
    not_exhaustive = {label for part in parts for label in part.not_exhaustive}
    if not judged_sets:
        return None, tuple(sorted(not_exhaustive))
    everywhere = set.intersection(*judged_sets)
    present = {label for part in parts for label in part.labels.tolist()}
    not_exhaustive |= present - everywhere
    return tuple(sorted(everywhere | not_exhaustive)), tuple(sorted(not_exhaustive))

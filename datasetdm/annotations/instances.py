"""Objects with a mask and a category each: the annotation of instance segmentation."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Instances:
    """Objects of one image: the annotation (scores all 1) or a prediction of the `instance` task.

    Attributes:
        masks: bool, N x H x W, visible pixels of each object. (From `Split.compact` an `EncodedMasks`, which takes the
            place of the array for readers that go through it mask by mask.)
        labels: int64, N, index into the data set's categories.
        scores: float32, N, in [0, 1].
        crowd: bool, N; a crowd region is neither learnt nor counted as a miss (COCO's `iscrowd`).
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
    def of(cls, masks: np.ndarray, labels: np.ndarray, scores: np.ndarray | None = None) -> "Instances":
        """Instances without crowds; scores default to 1."""
        count = len(masks)
        return cls(
            masks=np.asarray(masks, dtype=bool),
            labels=np.asarray(labels, dtype=np.int64),
            scores=np.ones(count, np.float32) if scores is None else np.asarray(scores, dtype=np.float32),
            crowd=np.zeros(count, dtype=bool),
        )

    @classmethod
    def empty(cls, height: int, width: int) -> "Instances":
        """No object at all."""
        return cls.of(np.zeros((0, height, width), dtype=bool), np.zeros(0, dtype=np.int64))

    def select(self, index: np.ndarray) -> "Instances":
        """The instances that `index` (boolean mask or integer indices) picks; what was judged stays the same."""
        return replace(
            self,
            masks=self.masks[index],
            labels=self.labels[index],
            scores=self.scores[index],
            crowd=self.crowd[index],
        )

    def relabelled(self, table: np.ndarray) -> "Instances":
        """The objects where `table` (int64, one per label) gives each label a new one, the same for some of them.

        A new label was judged throughout only if all its old ones were; where only some were, further objects of it
        may be there.
        """
        judged, not_exhaustive = None, {int(table[label]) for label in self.not_exhaustive}
        labels = table[self.labels]
        if self.judged is not None:
            old = [{*np.flatnonzero(table == new).tolist()} for new in range(int(table.max()) + 1)]
            whole = {new for new, parts in enumerate(old) if parts <= {*self.judged}}
            there = {*labels.tolist(), *not_exhaustive}
            not_exhaustive |= there - whole
            judged = tuple(sorted(whole | there))
        return replace(self, labels=labels, judged=judged, not_exhaustive=tuple(sorted(not_exhaustive)))

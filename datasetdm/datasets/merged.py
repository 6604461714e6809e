"""A split in which several categories are one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.split import Rejection, Split, Tally


class MergedSplit:
    """The same images with fewer categories.

    Args:
        split: the images.
        categories: the new categories, in label order.
        table: int64, the new label of each label of `split`.
    """

    def __init__(self, split: Split, categories: Sequence[Category], table: np.ndarray) -> None:
        self.categories = tuple(categories)
        self.crowds = split.crowds
        self._split, self._table = split, table

    @property
    def annotation_file(self) -> Path:
        """See `Split.annotation_file`."""
        return self._split.annotation_file

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> Sample:
        return self._relabelled(self._split[index])

    def compact(self, index: int) -> Sample:
        """See `Split.compact`."""
        return self._relabelled(self._split.compact(index))

    def labels_of(self, index: int) -> tuple[int, ...]:
        """The new labels, each once."""
        return tuple(dict.fromkeys(int(self._table[label]) for label in self._split.labels_of(index)))

    def name_of(self, index: int) -> str:
        """See `Split.name_of`."""
        return self._split.name_of(index)

    def id_of(self, index: int) -> int:
        """See `Split.id_of`."""
        return self._split.id_of(index)

    def path_of(self, index: int) -> Path:
        """See `Split.path_of`."""
        return self._split.path_of(index)

    def group_of(self, index: int) -> str:
        """See `Split.group_of`."""
        return self._split.group_of(index)

    def captions_of(self, index: int) -> tuple[str, ...]:
        """See `Split.captions_of`."""
        return self._split.captions_of(index)

    def tally_of(self, index: int) -> Tally:
        """See `Split.tally_of`."""
        return self._split.tally_of(index)

    def rejections_of(self, index: int) -> tuple[Rejection, ...]:
        """See `Split.rejections_of`."""
        return self._split.rejections_of(index)

    def _relabelled(self, sample: Sample) -> Sample:
        return replace(sample, target=sample.target.relabelled(self._table))

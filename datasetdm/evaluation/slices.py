"""How good a model is on parts of a data set: categories, sizes of objects, light, weather and places."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.annotations.sizes import SIZES, object_sizes
from datasetdm.evaluation.evaluators import Evaluator, build_evaluator
from datasetdm.prompts.attributes import CATEGORY, SIZE, slice_name, slices_of
from datasetdm.prompts.needs import Measure


@runtime_checkable
class ByCategory(Protocol):
    """An evaluator that can tell its categories apart."""

    def by_category(self) -> dict[str, float]:
        """The primary metric of every category, by name; NaN where the true annotation does not hold it."""


class SliceEvaluator:
    """The primary metric of a whole set and of its slices, fed one image at a time.

    The images of a slice are judged by the task's own evaluator. For categories and sizes this evaluator has its own
    figures of the whole set, where the task has such; a task without them has slices by caption only.

    Args:
        settings: of the task.
        categories: in label order.
        metric: the primary one.
    """

    def __init__(self, settings: config.TaskSettings, categories: Sequence[Category], metric: str):
        self._kind, self._metric = (settings, tuple(categories)), metric
        self._whole = build_evaluator(*self._kind)
        self._by_caption: dict[str, Evaluator] = {}
        self._counts: Counter[str] = Counter()
        self._num_images = 0

    def add(self, caption: str, target: Any, predicted: Any) -> None:
        """Add one image: its caption, its true and its predicted annotation."""
        self._num_images += 1
        self._whole.add(target, predicted)
        slices = slices_of(caption)
        for name in slices:
            self._by_caption.setdefault(name, build_evaluator(*self._kind)).add(target, predicted)
        shown = {self._kind[1][label].name for label in target.category_labels() or ()}
        self._counts.update([*slices, *(slice_name(CATEGORY, name) for name in shown)])
        self._counts.update(slice_name(SIZE, size) for size in object_sizes(target))

    def compute(self) -> tuple[Measure, dict[str, Measure]]:
        """The measure of the whole set, and that of every slice that it holds, by name.

        Slices by size count objects, all others images. Slices without a value are left out.
        """
        whole = self._whole.compute()
        values = {name: evaluator.compute()[self._metric] for name, evaluator in self._by_caption.items()}
        values |= self._by_category() | _by_size(whole, self._metric)
        found = {
            name: Measure(float(value), self._counts[name])
            for name, value in sorted(values.items())
            if math.isfinite(value) and self._counts[name]
        }
        return Measure(float(whole[self._metric]), self._num_images), found

    def _by_category(self) -> dict[str, float]:
        figures = self._whole.by_category() if isinstance(self._whole, ByCategory) else {}
        return {slice_name(CATEGORY, name): value for name, value in figures.items()}


def _by_size(figures: Mapping[str, float], metric: str) -> dict[str, float]:
    """The figures of those sizes that the evaluator tells apart."""
    named = {size: f"{metric}_{size}" for size in SIZES}
    return {slice_name(SIZE, size): figures[name] for size, name in named.items() if name in figures}

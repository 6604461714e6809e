"""What a filter takes and gives."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from datasetdm import config
from datasetdm.annotations.sample import Category, Prediction

NOT_FOUND = "not all that the prompt names was found"

#: The prompt requires nothing, or nobody checks whether the image follows it.
NOTHING_ASKED: Mapping[int, int | None] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """A predicted annotation after the filter.

    Attributes:
        target: what is left of the annotation.
        rejected: why the image is not used; None if it is used.
        scores: figures for the manifest (plain numbers).
    """

    target: Any
    rejected: str | None
    scores: dict[str, float]


class Filter(ABC):
    """Decides which predictions become training data, and which parts of them.

    Args:
        settings: of the task.
        categories: in label order.
    """

    def __init__(self, settings: Any, categories: Sequence[Category]):
        self.settings, self.categories = settings, tuple(categories)

    @abstractmethod
    def accept(
        self, prediction: Prediction, settings: config.Filter, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """Filter what the P-Decoder found in one image. Only the prediction and the prompt count.

        Args:
            prediction: what the P-Decoder found.
            settings: the thresholds.
            asked: label of each category that the prompt names -> how many objects the prompt names, None if it gives
                no number. With `require_prompted` each of these categories has to be in the annotation, and in that
                number if the annotation lists objects.
        """

    def count_agreement(self, target: Any, asked: Mapping[int, int | None]) -> float | None:
        """How far the objects of a filtered annotation agree with the numbers that the prompt gives, in [0, 1].

        1 less the number of objects that are missing or too many, as a share of the larger of both numbers, summed over
        the categories. None if the prompt gives no number, or the annotation lists no objects.
        """
        labels = target.object_labels()
        return None if labels is None else compare_counts(Counter(labels), asked)

    def filter_pseudo_labels(self, found: Any, threshold: float, settings: config.Filter) -> Acceptance:
        """Filter what a downstream model found in an unlabelled image, so that another model can learn from it.

        The filter is that of `accept`, with `threshold` instead of `score_threshold` and without `doubt_threshold` and
        `ignore_threshold`: the scores of another model are on another scale. If a model scores the parts of an
        annotation, the parts below the threshold are left out.

        Args:
            found: the predicted annotation.
            threshold: the lowest score that is trusted, in [0, 1].
            settings: the other thresholds.
        """
        other_scale = {"score_threshold": threshold, "doubt_threshold": None, "ignore_threshold": None}
        stricter = settings.model_copy(update=other_scale)
        return self.accept(Prediction(target=found, score=1.0), stricter)


def compare_counts(found: Mapping[int, int], asked: Mapping[int, int | None]) -> float | None:
    """See `Filter.count_agreement`; `found` is the number of objects by label."""
    pairs = [(found.get(label, 0), count) for label, count in asked.items() if count is not None]
    most = sum(max(pair) for pair in pairs)
    return 1 - sum(abs(one - other) for one, other in pairs) / most if most else None

"""Filter of predicted semantic maps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from datasetdm import config
from datasetdm.annotations.categories import background_labels
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.filters.base import NOT_FOUND, NOTHING_ASKED, Acceptance, Filter


class SemanticFilter(Filter):
    """Sets uncertain pixels and small categories to `IGNORE`.

    Args:
        settings: `min_certainty`, below which a pixel is ignored.
        categories: in label order; the background is never too small.
    """

    def __init__(self, settings: config.SemanticAnnotation, categories: Sequence[Category]):
        super().__init__(settings, categories)
        self._background = background_labels(categories)

    def accept(
        self, prediction: Prediction, settings: config.Filter, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """See `Filter.accept`; pixels below `min_certainty` and categories below `min_area` become `IGNORE`.

        An image is rejected if no category but the background is left, or if its score (the mean confidence before
        anything was left out) is below `score_threshold`.
        """
        sure = _without_uncertain(prediction.target, self.settings.min_certainty)
        kept = self._without_small(sure, settings.min_area)
        covered = ~np.isin(kept.labels, [IGNORE, *self._background])
        rejected = None
        if not covered.any():
            rejected = "nothing but background or ignored pixels"
        elif prediction.score < settings.score_threshold:
            rejected = "mean certainty below the score threshold"
        elif settings.require_prompted and not {*asked} <= {*kept.category_labels()}:
            rejected = NOT_FOUND
        return Acceptance(
            target=kept,
            rejected=rejected,
            scores={
                "score": prediction.score,
                "num_categories": float(len(np.unique(kept.labels[covered]))),
                "covered_area": float(covered.mean()),
                "ignored_area": float((kept.labels == IGNORE).mean()),
            },
        )

    def filter_pseudo_labels(self, found: SemanticMap, threshold: float, settings: config.Filter) -> Acceptance:
        """See `Filter.filter_pseudo_labels`; pixels less certain than `threshold` become `IGNORE`."""
        return super().filter_pseudo_labels(_without_uncertain(found, threshold), threshold, settings)

    def _without_small(self, found: SemanticMap, min_area: float) -> SemanticMap:
        """The map without the categories that cover less than this share of the image."""
        areas = np.bincount(found.labels.ravel(), minlength=IGNORE + 1) / found.labels.size
        small = [label for label in np.flatnonzero(areas < min_area) if label not in self._background]
        return _ignoring(found, np.isin(found.labels, small))


def _without_uncertain(found: SemanticMap, threshold: float) -> SemanticMap:
    return _ignoring(found, found.confidence < threshold)


def _ignoring(found: SemanticMap, where: np.ndarray) -> SemanticMap:
    return replace(found, labels=np.where(where, IGNORE, found.labels).astype(np.uint8))

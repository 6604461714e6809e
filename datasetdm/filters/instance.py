"""Filter of predicted objects."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Prediction
from datasetdm.filters.base import NOT_FOUND, NOTHING_ASKED, Acceptance, Filter

OTHER_NUMBER = "another number of objects than the prompt asks for"
DOUBTFUL = "an object of doubtful score"
UNCLAIMED_SHARE = 0.8  # of an object has to be outside better ones, or it counts as a part of them (as in Mask2Former)


class InstanceFilter(Filter):
    """Keeps objects above `score_threshold` and `min_area`, at most `max_instances`, and makes their masks disjoint."""

    def accept(
        self, prediction: Prediction, settings: config.Filter, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """See `Filter.accept`.

        An annotation holds the visible pixels of each object: where two claim a pixel, the one with the higher score
        gets it. With `ignore_threshold` less likely objects follow as crowds.
        """
        found: Instances = prediction.target
        likely = found.select(np.flatnonzero(found.scores >= settings.score_threshold)[: settings.max_instances])
        kept = _large_enough(_disjoint(likely), settings.min_area)
        return Acceptance(
            target=_with_half_seen(kept, found, settings),
            rejected=_reason(found, likely, kept, settings, asked),
            scores={
                "num_objects": float(len(kept)),
                "score": float(kept.scores.mean()) if len(kept) else 0.0,
                "best_score": float(found.scores.max(initial=0.0)),
                "covered_area": float(kept.masks.any(axis=0).mean()),
            },
        )


def _reason(
    found: Instances, likely: Instances, kept: Instances, settings: config.Filter, asked: Mapping[int, int | None]
) -> str | None:
    """Why the image is rejected, if it is."""
    if not len(likely):
        return "no object above the score threshold"
    if not len(kept):
        return "no object above the minimum area"
    if settings.require_prompted and not {*asked} <= {*kept.labels.tolist()}:
        return NOT_FOUND
    if settings.require_prompted and not _as_many_as_asked(kept.labels, asked):
        return OTHER_NUMBER
    if settings.doubt_threshold is not None and _any_between(
        found.scores, settings.doubt_threshold, settings.score_threshold
    ):
        return DOUBTFUL
    return None


def _with_half_seen(kept: Instances, found: Instances, settings: config.Filter) -> Instances:
    """The objects, and those too unsure to be learnt and too likely to be background as regions to ignore (crowds)."""
    lowest = settings.ignore_threshold
    if lowest is None:
        return kept
    unsure = found.select(np.flatnonzero((found.scores >= lowest) & (found.scores < settings.score_threshold)))
    free = unsure.masks & ~kept.masks.any(axis=0)
    visible = free.sum(axis=(1, 2)) >= np.maximum(1, UNCLAIMED_SHARE * unsure.masks.sum(axis=(1, 2)))
    regions = replace(unsure, masks=free, crowd=np.ones(len(unsure), dtype=bool))
    return Instances.merge([kept, _large_enough(regions.select(np.flatnonzero(visible)), settings.min_area)])


def _large_enough(objects: Instances, min_area: float) -> Instances:
    """The objects that cover at least this share of the image, and at least a pixel."""
    smallest = min_area * objects.masks.shape[1] * objects.masks.shape[2]
    return objects.select(objects.masks.sum(axis=(1, 2)) >= max(smallest, 1))


def _as_many_as_asked(labels: np.ndarray, asked: Mapping[int, int | None]) -> bool:
    return all(count is None or (labels == label).sum() == count for label, count in asked.items())


def _any_between(scores: np.ndarray, lowest: float, below: float) -> bool:
    return bool(((scores >= lowest) & (scores < below)).any())


def _disjoint(found: Instances) -> Instances:
    """The objects (best first) made disjoint: a pixel belongs to the first that has it.

    An object that would lose much to better ones is dropped, because most often it is the same object seen twice.
    """
    free = np.ones(found.masks.shape[1:], dtype=bool)
    kept, masks = [], []
    for index, mask in enumerate(found.masks):
        left = mask & free
        if left.sum() >= max(1, UNCLAIMED_SHARE * mask.sum()):
            kept.append(index)
            masks.append(left)
            free &= ~mask
    return replace(found.select(np.array(kept, dtype=np.int64)), masks=np.array(masks, bool).reshape(-1, *free.shape))

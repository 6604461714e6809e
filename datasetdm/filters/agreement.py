"""Agreement as a score: of an image's readings with each other, and of what was found with the prompt's numbers."""

from collections.abc import Mapping
from dataclasses import replace

from datasetdm import config
from datasetdm.annotations.sample import Prediction
from datasetdm.filters.base import Acceptance, Filter

DISAGREEING = "its readings do not agree"
OTHER_COUNTS = "its objects do not agree with the numbers in the prompt"


def needs_counts(settings: config.Filter, reading: config.Reading | None) -> bool:
    """Whether `accept` looks at what the prompt asks for, which takes a while to find out with many categories."""
    return settings.require_prompted or settings.min_agreement is not None or reading is not None


def accept(
    label_filter: Filter, prediction: Prediction, settings: config.Filter, asked: Mapping[int, int | None]
) -> Acceptance:
    """As `Filter.accept`, and with `min_agreement` only if the agreement is high enough.

    If the image was read in several ways, or a lowest agreement is set, the scores get the columns `flip_agreement`,
    `timestep_agreement` and `attention_agreement`, as far as there are such readings, and `count_agreement`, if the
    prompt gives numbers.

    Args:
        label_filter: of the task.
        prediction: what the P-Decoder found.
        settings: the thresholds.
        asked: what the prompt asks for, see `Filter.accept`; it counts there only with `require_prompted`.
    """
    acceptance = label_filter.accept(prediction, settings, asked if settings.require_prompted else {})
    lowest = settings.min_agreement
    if lowest is None and not prediction.agreement:
        return acceptance
    counts = label_filter.count_agreement(acceptance.target, asked)
    measured = dict(prediction.agreement) | ({} if counts is None else {"count_agreement": counts})
    scores = acceptance.scores | measured
    rejected = acceptance.rejected or (None if lowest is None else _reason(measured, lowest))
    return replace(acceptance, scores=scores, rejected=rejected)


def _reason(measured: Mapping[str, float], lowest: config.MinAgreement) -> str | None:
    """Why the image is rejected, if it is; what was not measured counts as agreed."""
    readings = {
        "flip_agreement": lowest.flip,
        "timestep_agreement": lowest.timestep,
        "attention_agreement": lowest.attention,
    }
    if any(measured.get(name, 1.0) < least for name, least in readings.items()):
        return DISAGREEING
    return OTHER_COUNTS if measured.get("count_agreement", 1.0) < lowest.count else None

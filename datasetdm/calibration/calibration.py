"""A filter whose threshold is chosen on dev, so that the labels it lets through are as right as promised."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from datasetdm import config
from datasetdm.annotations.sample import Prediction
from datasetdm.calibration.confidence import Confidence, fit_confidence
from datasetdm.calibration.judges import Judge, Parts
from datasetdm.calibration.promise import Trial, try_thresholds
from datasetdm.filters.agreement import accept
from datasetdm.filters.base import NOTHING_ASKED, Acceptance, Filter

FITTED_SHARE = 1 / 3  # of the images that the curve is fitted to; the promise is tested on the others


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was learnt on dev.

    Attributes:
        target_precision: what was asked for.
        confidence: with which probability.
        curve: from a score to a confidence.
        trials: the thresholds that were tried, strict to loose.
        fitted: number of dev images that the curve is fitted to.
        tested: number of dev images that the thresholds were tested on.
    """

    target_precision: float
    confidence: float
    curve: Confidence
    trials: tuple[Trial, ...]
    fitted: int
    tested: int

    @property
    def chosen(self) -> Trial | None:
        """The loosest threshold that keeps the promise; None if none does."""
        return next((trial for trial in reversed(self.trials) if trial.kept), None)

    def to_json(self) -> str:
        """As a file."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """Of a file that `to_json` wrote."""
        content = json.loads(text)
        curve = content["curve"]
        shifts = {int(label): shift for label, shift in curve["shifts"].items()}
        return cls(
            **content
            | {
                "curve": Confidence(curve["slope"], curve["offset"], shifts),
                "trials": tuple(Trial(**trial) for trial in content["trials"]),
            }
        )


class CalibratedFilter(Filter):
    """A filter that sees calibrated confidences instead of scores, and the threshold that keeps the promise.

    Args:
        inner: the filter of the task.
        judge: knows which parts have scores.
        curve: gives the confidences.
        threshold: the lowest confidence that passes.
    """

    def __init__(self, inner: Filter, judge: Judge, curve: Confidence, threshold: float):
        super().__init__(inner.settings, inner.categories)
        self._inner, self._judge, self._curve, self._threshold = inner, judge, curve, threshold

    def accept(
        self, prediction: Prediction, settings: config.Filter, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """See `Filter.accept`; the manifest gets the mean `confidence`, too."""
        parts = self._judge.parts(prediction)
        sure = self._judge.rescored(prediction, self._curve.of(parts))
        accepted = self._inner.accept(sure, settings.model_copy(update={"score_threshold": self._threshold}), asked)
        return replace(accepted, scores=accepted.scores | {"confidence": accepted.scores["score"]})

    def filter_pseudo_labels(self, found: Any, threshold: float, settings: config.Filter) -> Acceptance:
        """See `Filter.filter_pseudo_labels`: the scores are those of another model, which was not calibrated."""
        return self._inner.filter_pseudo_labels(found, threshold, settings)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A dev image.

    Attributes:
        prediction: what the P-Decoder found.
        truth: the true annotation.
        asked: what the caption asks for; see `filters.agreement.accept`.
    """

    prediction: Prediction
    truth: Any
    asked: Mapping[int, int | None]


def calibrate(
    judge: Judge, label_filter: Filter, images: Sequence[Judged], settings: config.Filter, *, seed: int
) -> Calibration:
    """Fit the curve to a third of the images, and test thresholds on the others with the whole filter.

    Args:
        judge: of the task.
        label_filter: of the task.
        images: labelled images that the P-Decoder did not learn from.
        settings: of the filter; `target_precision` is set.
        seed: of the division of the images.
    """
    assert settings.target_precision is not None
    order = np.random.default_rng(seed).permutation(len(images))
    first = round(FITTED_SHARE * len(images))
    curve = _fitted(judge, [images[index] for index in order[:first]])
    others = [images[index] for index in order[first:]]

    def pass_at(threshold: float) -> list[tuple[float, int]]:
        return passed(CalibratedFilter(label_filter, judge, curve, threshold), judge, others, settings)

    trials = try_thresholds(pass_at, settings.target_precision, settings.confidence)
    return Calibration(
        target_precision=settings.target_precision,
        confidence=settings.confidence,
        curve=curve,
        trials=tuple(trials),
        fitted=first,
        tested=len(others),
    )


def passed(
    label_filter: Filter, judge: Judge, images: Sequence[Judged], settings: config.Filter
) -> list[tuple[float, int]]:
    """Of each image that the filter accepts, the share of wrong labels and how many there are.

    Images of whose labels nobody can say whether they are right are left out.
    """
    outcome = []
    for image in images:
        acceptance = accept(label_filter, image.prediction, settings, image.asked)
        if acceptance.rejected is None:
            right = judge.right(acceptance.target, image.truth)
            known = right[~np.isnan(right)]
            if len(known):
                outcome.append((1 - float(known.mean()), len(known)))
    return outcome


def _fitted(judge: Judge, images: Sequence[Judged]) -> Confidence:
    scores, labels, rights = [np.zeros(0)], [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    for image in images:
        parts, right = judge.parts(image.prediction), judge.right(image.prediction.target, image.truth)
        known = ~np.isnan(right)
        scores.append(parts.scores[known])
        labels.append(parts.labels[known])
        rights.append(right[known])
    together = Parts(scores=np.concatenate(scores), labels=np.concatenate(labels))
    return fit_confidence(together, np.concatenate(rights))

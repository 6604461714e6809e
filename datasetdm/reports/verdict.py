"""The answer of a comparison in a sentence: do synthetic images help, and is that more than chance?"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from datasetdm.arms import ARMS, CONTRASTS
from datasetdm.reports.contrasts import paired_difference
from datasetdm.task_parts import METRICS, Metric

#: The pairs of arms that answer the question, the one that answers it best first.
PAIRS: tuple[tuple[str, str], ...] = (CONTRASTS[0], ("synthetic", "real"), *CONTRASTS[1:])

MORE_SEEDS = "For more certainty, give the benchmark more `seeds` in params.yaml (`make study` uses three or five)."


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a comparison says.

    Attributes:
        kind: `better`, `worse`, `open` (it may be chance) or `none` (nothing to compare).
        sentence: for people, with names of arms in backticks.
        advice: what to do for a clearer answer; empty where nothing is to be done.
        difference: of the two arms, with its interval, in a few words; `-` if there are not two.
    """

    kind: Literal["better", "worse", "open", "none"]
    sentence: str
    advice: str = ""
    difference: str = "-"


def verdict(metrics: Mapping[str, Any], name: str | None = None) -> Verdict:
    """The verdict on the content of a `metrics.json`.

    Args:
        metrics: the figures of all arms.
        name: the metric; None: the first of `headline`.
    """
    name = name or metrics["headline"][0]
    metric, arms = METRICS[name], metrics["arms"]
    seeds = {arm: figures[name]["seeds"] for arm, figures in arms.items() if name in figures}
    for one, other in PAIRS:
        difference = paired_difference(seeds.get(one, {}), seeds.get(other, {}))
        if difference:
            return _compare(metrics, metric, (one, other), seeds, difference)
    trained = ", ".join(f"`{arm}`" for arm in arms) or "none"
    return Verdict(
        kind="none",
        sentence="There is nothing to compare yet: no two arms that differ in their synthetic images have a figure "
        f"for {metric.title} with the same seed (trained: {trained}).",
        advice="Put `real` and `both` into `experiment.arms` in params.yaml.",
    )


def arm_summary(arm: str, metrics: Mapping[str, Any]) -> str:
    """What an arm is trained on, in a few words; empty for a row that is not an arm."""
    return ARMS[arm].summary.format_map(_Counts(metrics)) if arm in ARMS else ""


class _Counts(dict[str, Any]):
    """The numbers of a comparison; one that an older version did not write is "some"."""

    def __missing__(self, key: str) -> str:
        return "some"


def _compare(
    metrics: Mapping[str, Any],
    metric: Metric,
    pair: tuple[str, str],
    seeds: Mapping[str, Mapping[str, float]],
    difference: Mapping[str, Any],
) -> Verdict:
    after, before = (fmean(seeds[arm][seed] for seed in difference["seeds"]) for arm in pair)
    merit = difference["mean"] if metric.higher_is_better else -difference["mean"]
    kind = _kind(difference, higher_is_better=metric.higher_is_better)
    new, old = (f"{arm_summary(arm, metrics)} (`{arm}`)" for arm in pair)
    compared = (
        f"On the test images of {metrics['benchmark']}, training on {new} instead of {old} "
        f"{_change(metric, merit, metric.text(before), metric.text(after))}"
    )
    return Verdict(
        kind=kind,
        sentence=f"{compared}; {_meaning(kind, metric, difference)}.",
        advice=MORE_SEEDS if kind == "open" else "",
        difference=f"{metric.signed(difference['mean'])} ({_interval(metric, difference)})",
    )


def _kind(difference: Mapping[str, Any], *, higher_is_better: bool) -> Literal["better", "worse", "open"]:
    if difference["interval"] is None or difference["interval"][0] <= 0 <= difference["interval"][1]:
        return "open"
    return "better" if (difference["mean"] > 0) == higher_is_better else "worse"


def _change(metric: Metric, merit: float, before: str, after: str) -> str:
    unit = " %" if metric.percent else ""
    if not merit:
        return f"leaves {metric.title} unchanged at {after}{unit}"
    direction = "" if metric.higher_is_better else ", where lower is better"
    return f"{'improves' if merit > 0 else 'worsens'} {metric.title} from {before}{unit} to {after}{unit}{direction}"


def _meaning(kind: str, metric: Metric, difference: Mapping[str, Any]) -> str:
    if difference["interval"] is None:
        return "with one seed, nobody can tell this from chance"
    interval = (
        f"the difference of the same seeds is {metric.signed(difference['mean'])} ({_interval(metric, difference)})"
    )
    if kind == "open":
        return f"{interval}, which may be chance, as the interval includes zero"
    return f"{interval}, which is more than chance"


def _interval(metric: Metric, difference: Mapping[str, Any]) -> str:
    if difference["interval"] is None:
        return "one seed, no interval"
    low, high = map(metric.signed, difference["interval"])
    return f"95 % interval {low} to {high}, {len(difference['seeds'])} seeds"

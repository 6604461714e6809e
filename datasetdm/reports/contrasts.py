"""What the comparison of arms is about: differences between arms of the same seed, and how much of a gap is closed."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from scipy.special import stdtrit

from datasetdm.arms import CONTRASTS
from datasetdm.task_parts import METRICS

CONFIDENCE = 0.95
SMALLEST_GAP = 0.1  # of the value of `real`; a share of less is a share of chance


def contrasts(arms: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The differences between arms (`CONTRASTS`), for each of some metrics.

    Args:
        arms: arm -> metric -> mean, std and seeds, as `summarize` made it.
        names: the metrics, such as the headline of a task.

    Returns:
        metric -> `differences` ("both - real" -> mean, interval and seeds, see `paired_difference`) and `gap_closed`
        (see there). A metric without either is absent.
    """
    found = {}
    for name in names:
        seeds = {arm: figures[name]["seeds"] for arm, figures in arms.items() if name in figures}
        pairs = {
            f"{one} - {other}": paired_difference(seeds.get(one, {}), seeds.get(other, {})) for one, other in CONTRASTS
        }
        differences = {title: difference for title, difference in pairs.items() if difference}
        if differences:
            found[name] = {"differences": differences, "gap_closed": gap_closed(name, seeds)}
    return found


def paired_difference(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, Any] | None:
    """The difference of two arms over the seeds that both have; None where there is no such seed.

    Args:
        one: seed -> value of a metric.
        other: the same of the arm that is subtracted.

    Returns:
        `mean`; `interval` (low, high), in which the true mean lies with 95 % confidence by Student's t over the
        differences, None for a single seed; `seeds`: seed -> difference.
    """
    values = {seed: one[seed] - other[seed] for seed in one if seed in other}
    if not values:
        return None
    mean, count = fmean(values.values()), len(values)
    interval = None
    if count > 1:
        reach = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * stdev(values.values()) / math.sqrt(count)
        interval = [mean - reach, mean + reach]
    return {"mean": mean, "interval": interval, "seeds": values}


def gap_closed(name: str, seeds: Mapping[str, Mapping[str, float]]) -> float | None:
    """(both - real) / (oracle - real) of the means of a metric, over the seeds that all three have.

    1: as good as with true labels. None where an arm is missing, or where the oracle is hardly better than `real`
    (`SMALLEST_GAP`) or worse, whichever way is up: then there is no gap to close.

    Args:
        name: the metric, a key of `METRICS`.
        seeds: arm -> seed -> value.
    """
    both, real, oracle = (seeds.get(arm, {}) for arm in ("both", "real", "oracle"))
    common = [seed for seed in both if seed in real and seed in oracle]
    if not common:
        return None
    gap = fmean(oracle[seed] - real[seed] for seed in common)
    gain = gap if METRICS[name].higher_is_better else -gap
    if gain <= SMALLEST_GAP * abs(fmean(real[seed] for seed in common)):
        return None
    return fmean(both[seed] - real[seed] for seed in common) / gap


def contrast_lines(metrics: Mapping[str, Any]) -> list[str]:
    """The differences and gaps of a comparison as sentences, in the units of the table."""
    lines = []
    for name, found in metrics.get("contrasts", {}).items():
        metric = METRICS[name]
        direction = "higher" if metric.higher_is_better else "lower"
        for title, difference in found["differences"].items():
            count = len(difference["seeds"])
            spread = "one seed, no interval"
            if difference["interval"]:
                low, high = map(metric.signed, difference["interval"])
                spread = f"95 % interval {low} to {high}, {count} seeds, paired"
            lines.append(
                f"{title}: {metric.title} {metric.signed(difference['mean'])} ({spread}; {direction} is better)"
            )
        if found["gap_closed"] is not None:
            share = f"{100 * found['gap_closed']:.0f} %"
            lines.append(f"gap closed, (both - real) / (oracle - real): {share} of the {metric.title}")
    return lines

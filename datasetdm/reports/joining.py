"""One comparison out of several: a study whose seeds and arms ran at different times or on different machines."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from datasetdm.arms import ARMS, P_DECODER
from datasetdm.errors import DatasetDMError
from datasetdm.reports.comparison import summarize
from datasetdm.reports.contrasts import contrasts

SAME = ("benchmark", "task", "world", "headline", "num_real", "num_generated", "num_spliced", "num_oracle")
COUNTS = ("num_synthetic", "num_pseudo", "num_taught")  # means over seeds

Comparison = Mapping[str, Any]


def join(comparisons: Mapping[str, Comparison]) -> dict[str, Any]:
    """The comparison over the seeds and arms of all.

    Args:
        comparisons: where each comes from, for messages -> the content of its `metrics.json`.

    Returns:
        As `metrics.json`: means, deviations and differences over all seeds. The trivial baseline is that of the first.

    Raises:
        DatasetDMError: they are of different benchmarks or sizes, or two have the same arm with the same seed.
    """
    _check_alike(comparisons)
    parts = list(comparisons.values())
    first = parts[0]
    counts = {name: _mean_over_seeds(parts, [part.get(name) for part in parts]) for name in COUNTS}
    joined = {
        **first,
        **{name: round(mean) for name, mean in counts.items() if mean is not None},
        **_joined_figures(parts, first["headline"]),
        "dev": _joined_dev(parts),
    }
    if "iid" in first:
        joined["iid"] = _joined_figures([part["iid"] for part in parts], first["headline"])
    return joined


def trainings_of(comparison: Comparison) -> set[tuple[str, int]]:
    """Arm and seed of every row of a comparison."""
    return {
        (arm, int(seed))
        for arm, figures in comparison["arms"].items()
        for figure in figures.values()
        for seed in figure["seeds"]
    }


def _check_alike(comparisons: Mapping[str, Comparison]) -> None:
    (name, first), *others = comparisons.items()
    seen = dict.fromkeys(trainings_of(first), name)
    problems = []
    for other, found in others:
        problems += [
            f"{key} is {found.get(key)} in {other}, but {first.get(key)} in {name}"
            for key in SAME
            if found.get(key) != first.get(key)
        ]
        twice = sorted(training for training in trainings_of(found) if training in seen)
        problems += [f"{arm} with seed {seed} is both in {seen[arm, seed]} and in {other}" for arm, seed in twice]
        seen |= dict.fromkeys(trainings_of(found), other)
    if problems:
        raise DatasetDMError("\n  ".join(["These comparisons cannot be joined:", *problems]))


def _joined_figures(parts: Sequence[Comparison], headline: Sequence[str]) -> dict[str, Any]:
    """The arms and their differences on one test set."""
    per_seed: dict[str, dict[int, dict[str, float]]] = {}
    for part in parts:
        for arm, figures in part["arms"].items():
            for metric, figure in figures.items():
                for seed, value in figure["seeds"].items():
                    per_seed.setdefault(arm, {}).setdefault(int(seed), {})[metric] = value
    arms = summarize({arm: dict(sorted(per_seed[arm].items())) for arm in _ordered(per_seed)})
    return {"arms": arms, "contrasts": contrasts(arms, headline)}


def _ordered(arms: Collection[str]) -> list[str]:
    """Arms in the order of the registry."""
    order = [*ARMS, P_DECODER]
    return sorted(arms, key=order.index)


def _joined_dev(parts: Sequence[Comparison]) -> dict[str, dict[str, float]]:
    """The figures on dev of everyone of whom all seeds have them."""
    joined: dict[str, dict[str, float]] = {}
    for who in dict.fromkeys(name for part in parts for name in part["dev"]):
        having = [part for part in parts if who in part["dev"]]
        names = [name for name in having[0]["dev"][who] if all(name in part["dev"][who] for part in having)]
        means = {name: _mean_over_seeds(having, [part["dev"][who][name] for part in having]) for name in names}
        joined[who] = {name: mean for name, mean in means.items() if mean is not None}
    return joined


def _mean_over_seeds(parts: Sequence[Comparison], means: Sequence[float | None]) -> float | None:
    """The mean over all seeds of what parts give as a mean over theirs (None: nothing); None if none gives one.

    Each seed counts once, though its arms may have run in several parts. Parts of many seeds come first, as their means
    cannot be divided.
    """
    counted: set[int] = set()
    total = 0.0
    seeds_of = [{seed for _, seed in trainings_of(part)} for part in parts]
    for mean, seeds in sorted(zip(means, seeds_of, strict=True), key=lambda pair: -len(pair[1])):
        if mean is not None:
            total += mean * len(seeds - counted)
            counted |= seeds
    return total / len(counted) if counted else None

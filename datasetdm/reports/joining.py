"""One comparison out of several: a study whose seeds ran at different times or on different machines."""

from collections.abc import Mapping, Sequence
from typing import Any

from datasetdm.errors import DatasetDMError
from datasetdm.reports.comparison import summarize
from datasetdm.reports.contrasts import contrasts

SAME = ("benchmark", "task", "world", "headline", "num_real", "num_generated", "num_spliced", "num_oracle")
COUNTS = ("num_synthetic", "num_pseudo", "num_taught")  # means over seeds


def join(comparisons: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The comparison over the seeds of all.

    Args:
        comparisons: where each comes from, for messages -> the content of its `metrics.json`.

    Returns:
        As `metrics.json`: means, deviations and differences over all seeds. The trivial baseline is that of the first.

    Raises:
        DatasetDMError: they are of different benchmarks, sizes or arms, or two have the same seed.
    """
    _check_alike(comparisons)
    parts = list(comparisons.values())
    first, weights = parts[0], [len(_seeds(part)) for part in parts]
    joined = {
        **first,
        **{name: round(_mean([part[name] for part in parts], weights)) for name in COUNTS if name in first},
        **_joined_figures(parts, first["headline"]),
        "dev": _joined_dev([part["dev"] for part in parts], weights),
    }
    if "iid" in first:
        joined["iid"] = _joined_figures([part["iid"] for part in parts], first["headline"])
    return joined


def _check_alike(comparisons: Mapping[str, Mapping[str, Any]]) -> None:
    (name, first), *others = comparisons.items()
    seen = dict.fromkeys(_seeds(first), name)
    problems = []
    for other, found in others:
        problems += [
            f"{key} is {found.get(key)} in {other}, but {first.get(key)} in {name}"
            for key in SAME
            if found.get(key) != first.get(key)
        ]
        if set(found["arms"]) != set(first["arms"]):
            problems.append(f"the arms of {other} are {_names(found)}, those of {name} {_names(first)}")
        problems += [f"seed {seed} is both in {seen[seed]} and in {other}" for seed in _seeds(found) if seed in seen]
        seen |= dict.fromkeys(_seeds(found), other)
    if problems:
        raise DatasetDMError("\n  ".join(["These comparisons cannot be joined:", *problems]))


def _seeds(comparison: Mapping[str, Any]) -> list[str]:
    return sorted(
        {seed for figures in comparison["arms"].values() for figure in figures.values() for seed in figure["seeds"]},
        key=int,
    )


def _names(comparison: Mapping[str, Any]) -> str:
    return ", ".join(sorted(comparison["arms"]))


def _joined_figures(parts: Sequence[Mapping[str, Any]], headline: Sequence[str]) -> dict[str, Any]:
    """The arms and their differences on one test set."""
    per_seed: dict[str, dict[int, dict[str, float]]] = {arm: {} for arm in parts[0]["arms"]}
    for part in parts:
        for arm, figures in part["arms"].items():
            for metric, figure in figures.items():
                for seed, value in figure["seeds"].items():
                    per_seed[arm].setdefault(int(seed), {})[metric] = value
    arms = summarize({arm: dict(sorted(seeds.items())) for arm, seeds in per_seed.items()})
    return {"arms": arms, "contrasts": contrasts(arms, headline)}


def _joined_dev(parts: Sequence[Mapping[str, Any]], weights: Sequence[int]) -> dict[str, dict[str, float]]:
    return {
        who: {name: _mean([part[who][name] for part in parts], weights) for name in figures}
        for who, figures in parts[0].items()
        if all(set(figures) <= set(part.get(who, {})) for part in parts)
    }


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)

"""The comparison of the arms: figures over seeds, as JSON, table and plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

METRIC_TITLES = {
    "mask_ap": "AP",
    "mask_ap50": "AP50",
    "mask_ap75": "AP75",
    "mask_ap_small": "APs",
    "mask_ap_medium": "APm",
    "mask_ap_large": "APl",
}


def summarize(per_seed: Mapping[str, Mapping[int, Mapping[str, float]]]) -> dict[str, Any]:
    """arm -> seed -> metric -> value, turned into arm -> metric -> mean, std and seeds.

    The standard deviation is the sample's (n - 1), None where there is a single seed. A metric that is
    not defined for a seed (no object in that area range) is absent there.
    """
    arms: dict[str, Any] = {}
    for arm, seeds in per_seed.items():
        names = sorted({name for figures in seeds.values() for name in figures})
        arms[arm] = {}
        for name in names:
            values = {str(seed): figures[name] for seed, figures in seeds.items() if name in figures}
            if values:
                arms[arm][name] = {
                    "mean": fmean(values.values()),
                    "std": stdev(values.values()) if len(values) > 1 else None,
                    "seeds": values,
                }
    return arms


def table(metrics: Mapping[str, Any], names: Sequence[str] = tuple(METRIC_TITLES)) -> str:
    """The arms as a Markdown table, one row each, in per cent."""
    shown = [name for name in names if any(name in arm for arm in metrics["arms"].values())]
    lines = [
        "| arm | " + " | ".join(METRIC_TITLES.get(name, name) for name in shown) + " | seeds |",
        "|---|" + "---:|" * (len(shown) + 1),
    ]
    for arm, figures in metrics["arms"].items():
        cells = [_cell(figures.get(name)) for name in shown]
        seeds = max(len(figure["seeds"]) for figure in figures.values())
        lines.append(f"| {arm} | " + " | ".join(cells) + f" | {seeds} |")
    return "\n".join(lines) + "\n"


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    spread = "" if figure["std"] is None else f" ± {100 * figure['std']:.1f}"
    return f"{100 * figure['mean']:.1f}{spread}"


def plot(metrics: Mapping[str, Any], name: str, file: Path) -> None:
    """A bar per arm with the spread over seeds, and every seed as a point."""
    arms = [arm for arm, figures in metrics["arms"].items() if name in figures]
    figure, axes = plt.subplots(figsize=(1.2 + 1.1 * len(arms), 3.4), layout="constrained")
    for position, arm in enumerate(arms):
        values = metrics["arms"][arm][name]
        axes.bar(
            position,
            100 * values["mean"],
            yerr=100 * (values["std"] or 0.0),
            capsize=4,
            color=f"C{position}",
            alpha=0.75,
        )
        seeds = [100 * value for value in values["seeds"].values()]
        axes.scatter([position] * len(seeds), seeds, color="black", s=10, zorder=3)
    axes.set_xticks(range(len(arms)), arms)
    axes.set_ylabel(f"{METRIC_TITLES.get(name, name)} on test (%)")
    axes.set_title(f"{metrics['benchmark']}: {metrics['num_real']} real, {metrics['num_synthetic']} synthetic images")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130, metadata={"Software": None})
    plt.close(figure)

"""The comparison of the arms: figures over seeds, as JSON, table and plot."""

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from datasetdm.task_parts import METRICS


def summarize(per_seed: Mapping[str, Mapping[int, Mapping[str, float]]]) -> dict[str, Any]:
    """arm -> seed -> metric -> value, turned into arm -> metric -> mean, std and seeds.

    The standard deviation is the sample's (n - 1), None for a single seed. A seed without a value for a metric (no
    object in that area range) is left out.
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


def shown_metrics(metrics: Mapping[str, Any]) -> list[str]:
    """The names of the metrics that tables of a comparison show."""
    return [name for name in METRICS if any(name in arm for arm in metrics["arms"].values())]


def table(metrics: Mapping[str, Any]) -> str:
    """The arms as a Markdown table, one row each."""
    shown = shown_metrics(metrics)
    lines = [
        "| arm | " + " | ".join(METRICS[name].title for name in shown) + " | seeds |",
        "|---|" + "---:|" * (len(shown) + 1),
    ]
    for arm, figures in metrics["arms"].items():
        cells = [figure_text(name, figures.get(name)) for name in shown]
        seeds = max(len(figure["seeds"]) for figure in figures.values())
        lines.append(f"| {arm} | " + " | ".join(cells) + f" | {seeds} |")
    baseline = metrics.get("baseline")
    if baseline:
        cells = [METRICS[name].text(baseline[name]) if name in baseline else "-" for name in shown]
        lines.append("| (trivial baseline) | " + " | ".join(cells) + " | - |")
    return "\n".join(lines) + "\n"


def figure_text(name: str, figure: Mapping[str, Any] | None) -> str:
    """Mean and, for several seeds, standard deviation of a metric; `-` for None."""
    if figure is None:
        return "-"
    metric = METRICS[name]
    spread = "" if figure["std"] is None else f" ± {metric.text(figure['std'])}"
    return f"{metric.text(figure['mean'])}{spread}"


def plot(metrics: Mapping[str, Any], name: str, file: Path) -> None:
    """A bar per arm. With several seeds it also shows the standard deviation and a point per seed."""
    from matplotlib.figure import Figure  # takes a second, which commands without plots need not wait

    arms = [arm for arm, figures in metrics["arms"].items() if name in figures]
    metric = METRICS[name]
    figure = Figure(figsize=(max(4.4, 1.2 + 1.1 * len(arms)), 3.4), layout="constrained")
    axes = figure.subplots()
    for position, arm in enumerate(arms):
        values = metrics["arms"][arm][name]
        spread = None if values["std"] is None else metric.scaled(values["std"])
        axes.bar(position, metric.scaled(values["mean"]), yerr=spread, capsize=4, color=f"C{position}", alpha=0.75)
        seeds = [metric.scaled(value) for value in values["seeds"].values()]
        if len(seeds) > 1:
            axes.scatter([position] * len(seeds), seeds, color="black", s=10, zorder=3)
    axes.set_xticks(range(len(arms)), [arm.replace("_", "\n") for arm in arms])
    axes.set_ylabel(f"{metric.axis} on test")
    title = f"{metrics['benchmark']}: {metrics['num_real']} real, {metrics['num_synthetic']} synthetic images"
    axes.set_title(title, fontsize="medium", wrap=True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130, metadata={"Software": None})

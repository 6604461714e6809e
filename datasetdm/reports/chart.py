"""The bars of the arms on the report page, as positions in per cent: colours and lettering are the page's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasetdm.reports.comparison import figure_text
from datasetdm.task_parts import METRICS


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One arm; all positions are in per cent of the chart's width.

    Attributes:
        arm: its name.
        text: its figure.
        length: of the bar, the mean over seeds.
        seeds: the figure of each seed; none for a single one, as it is the mean itself.
        spread: from and to, the mean less and plus the standard deviation; None for a single seed.
    """

    arm: str
    text: str
    length: float
    seeds: list[float]
    spread: tuple[float, float] | None


def bars(arms: Mapping[str, Any], name: str) -> list[Bar]:
    """A bar for each arm that has the metric; the longest reaches nearly to the end."""
    figures = {arm: found[name] for arm, found in arms.items() if name in found}
    reaches = [max(*figure["seeds"].values(), figure["mean"] + (figure["std"] or 0)) for figure in figures.values()]
    most = 1.02 * max(reaches, default=0) or 1.0

    def position(value: float) -> float:
        return round(100 * min(max(value / most, 0.0), 1.0), 2)

    return [
        Bar(
            arm=arm,
            text=figure_text(name, figure),
            length=position(figure["mean"]),
            seeds=[position(value) for value in figure["seeds"].values()] if len(figure["seeds"]) > 1 else [],
            spread=_spread(figure, position),
        )
        for arm, figure in figures.items()
    ]


def bars_title(name: str) -> str:
    """What the bars show."""
    metric = METRICS[name]
    return f"{metric.axis} on the test images; {'longer' if metric.higher_is_better else 'shorter'} is better"


def _spread(figure: Mapping[str, Any], position: Any) -> tuple[float, float] | None:
    if not figure["std"]:
        return None
    return position(figure["mean"] - figure["std"]), position(figure["mean"] + figure["std"])

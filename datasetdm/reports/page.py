"""One self-contained page per benchmark. It opens from disk and makes no network requests."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from datasetdm.prompts.variety import FIGURES
from datasetdm.reports.comparison import figure_text, shown_metrics
from datasetdm.reports.contrasts import contrast_lines
from datasetdm.reports.rounds import HEADINGS, round_sections
from datasetdm.task_parts import METRICS

IID_TITLE = "On images of the kind that was trained on (iid)"


def render_page(
    metrics: Mapping[str, Any],
    *,
    plot: Path,
    galleries: Sequence[tuple[str, Path]],
    facts: Mapping[str, str],
    variety: Mapping[str, float] = MappingProxyType({}),
    rounds: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The HTML of a comparison.

    Args:
        metrics: the content of `metrics.json`.
        plot: the picture of the arms.
        galleries: (title, picture) pairs.
        facts: how the figures were made: title -> text.
        variety: how varied the prompts are, by the names of `variety.FIGURES`.
        rounds: what was learnt after each round of drawing, if there were several.
    """
    environment = Environment(loader=PackageLoader("datasetdm.reports"), autoescape=select_autoescape())
    names = shown_metrics(metrics)
    tables = [{"title": "The arms, on the test set", "lines": contrast_lines(metrics), **metrics}]
    if "iid" in metrics:
        tables.append({"title": IID_TITLE, "lines": contrast_lines(metrics["iid"]), **metrics["iid"]})
    return environment.get_template("comparison.html").render(
        metrics=metrics,
        names=names,
        titles={name: METRICS[name].title for name in names},
        text=figure_text,
        baseline=lambda name: METRICS[name].text(metrics["baseline"][name]) if name in metrics["baseline"] else "-",
        tables=tables,
        plot=_inline(plot),
        galleries=[(title, _inline(picture)) for title, picture in galleries],
        facts=facts,
        variety=[(text, f"{variety[name]:.4g}") for name, text in FIGURES.items() if name in variety],
        rounds=round_sections(rounds),
        round_headings=HEADINGS,
    )


def _inline(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()

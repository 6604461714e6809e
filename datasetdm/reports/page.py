"""One page per benchmark. It opens from disk, asks nothing of the network, and shows images that lie next to it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from datasetdm.annotations.sample import Category
from datasetdm.prompts.variety import FIGURES
from datasetdm.reports.chart import bars, bars_title
from datasetdm.reports.comparison import figure_text, shown_metrics
from datasetdm.reports.contrasts import contrast_lines
from datasetdm.reports.figures import FigureSet
from datasetdm.reports.html import page_environment
from datasetdm.reports.layers import css_palette
from datasetdm.reports.rounds import HEADINGS, round_sections
from datasetdm.reports.verdict import arm_summary, verdict
from datasetdm.task_parts import METRICS, TASKS, scores_of

IID_TITLE = "On images of the kind that was trained on (iid)"
NO_IMAGES: Mapping[str, Any] = MappingProxyType({"sets": ()})


def viewer_of(task: str, categories: Sequence[Category], sets: Sequence[FigureSet], folder: str) -> dict[str, Any]:
    """What the part of a page needs to know that shows images (`templates/figures.html` and `figures.js`).

    Args:
        task: the name of the task.
        categories: in label order.
        sets: what there is to look at.
        folder: where `write_figures` has written it, relative to the page.
    """
    given = {score for one in sets for score in one.scores}
    return {
        "folder": folder,
        "sets": [asdict(one) for one in sets if one.count],
        "categories": [{"name": category.noun} for category in categories],
        "palette": css_palette(max(1, len(categories))),
        "scores": {name: asdict(score) for name, score in scores_of(task).items() if name in given},
        "legend": TASKS[task].legend,
    }


def render_page(
    metrics: Mapping[str, Any],
    *,
    arms: Mapping[str, str] = MappingProxyType({}),
    viewer: Mapping[str, Any] = NO_IMAGES,
    facts: Mapping[str, str],
    variety: Mapping[str, float] = MappingProxyType({}),
    rounds: Sequence[Mapping[str, Any]] = (),
    labels: str = "",
) -> str:
    """The HTML of a comparison.

    Args:
        metrics: the content of `metrics.json`.
        arms: what the arms are: name -> text.
        viewer: the images, as `viewer_of` made it.
        facts: how the figures were made: title -> text.
        variety: how varied the prompts are, by the names of `variety.FIGURES`.
        rounds: what was learnt after each round of drawing, if there were several.
        labels: where the page of the doubtful labels is, if there is one.
    """
    names = shown_metrics(metrics)
    primary = metrics["headline"][0]
    tables = [_table("The arms, on the test set", metrics)]
    if "iid" in metrics:
        tables.append(_table(IID_TITLE, metrics["iid"]))
    return (
        page_environment()
        .get_template("comparison.html")
        .render(
            metrics=metrics,
            verdict=verdict(metrics),
            bars=bars(metrics["arms"], primary),
            bars_title=bars_title(primary),
            names=names,
            shown={name: METRICS[name] for name in names},
            summaries={arm: arm_summary(arm, metrics) for arm in metrics["arms"]},
            text=figure_text,
            baseline=lambda name: METRICS[name].text(metrics["baseline"][name]) if name in metrics["baseline"] else "-",
            tables=tables,
            arms=arms,
            viewer=viewer,
            facts=facts,
            variety=[(text, f"{variety[name]:.4g}") for name, text in FIGURES.items() if name in variety],
            rounds=round_sections(rounds),
            round_headings=HEADINGS,
            labels=labels,
        )
    )


def render_preview(benchmark: str, summary: str, viewer: Mapping[str, Any]) -> str:
    """The HTML of a preview: a sentence, and images as `viewer_of` has them."""
    template = page_environment().get_template("preview.html")
    return template.render(benchmark=benchmark, summary=summary, viewer=viewer)


def render_labels(benchmark: str, judges: Mapping[str, str], viewer: Mapping[str, Any]) -> str:
    """The HTML of the doubtful labels: who has judged each set (title -> text), and images as `viewer_of` has them."""
    template = page_environment().get_template("labels.html")
    return template.render(benchmark=benchmark, judges=judges, viewer=viewer)


def _table(title: str, part: Mapping[str, Any]) -> dict[str, Any]:
    figures = [figure for arm in part["arms"].values() for figure in arm.values()]
    spread = any(figure["std"] is not None for figure in figures)
    return {"title": title, "lines": contrast_lines(part), "spread": spread, **part}

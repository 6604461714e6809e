"""All benchmarks in one table with the paper's columns: numbers of images, then the arms."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from datasetdm.arms import MAIN_ARMS
from datasetdm.reports.comparison import figure_text
from datasetdm.reports.html import page_environment
from datasetdm.reports.paper import PAPER
from datasetdm.reports.verdict import verdict
from datasetdm.task_parts import METRICS

ABSENT = "-"
FIRST_ARM = 4  # cell of a row
PAPER_ARMS = ("real", "synthetic", "both")


def leaderboard(
    comparisons: Mapping[str, Mapping[str, Any]],
    benchmarks: Sequence[str],
    added: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The content of `leaderboard.json`.

    Args:
        comparisons: benchmark -> the content of its `metrics.json`.
        benchmarks: all benchmarks of the settings, in order; those without a comparison are listed as missing.
        added: name of a run made elsewhere -> its `metrics.json`; its rows follow those of the same benchmark here.
    """
    runs = [("", comparisons[name]) for name in benchmarks if name in comparisons]
    runs += sorted((added or {}).items())
    order = list(dict.fromkeys([*benchmarks, *(run["benchmark"] for _, run in runs)]))
    runs.sort(key=lambda run: order.index(run[1]["benchmark"]))
    rows = [_row(name, comparison, metric) for name, comparison in runs for metric in comparison["headline"]]
    return {"rows": rows, "missing": [name for name in benchmarks if name not in comparisons]}


def _row(run: str, comparison: Mapping[str, Any], metric: str) -> dict[str, Any]:
    paper, found = PAPER.get(comparison["benchmark"]), verdict(comparison, metric)
    return {
        "benchmark": comparison["benchmark"],
        "run": run,
        "task": comparison["task"],
        "world": comparison["world"],
        "metric": metric,
        "higher_is_better": METRICS[metric].higher_is_better,
        "num_real": comparison["num_real"],
        "num_synthetic": comparison["num_synthetic"],
        "arms": {arm: figures[metric] for arm, figures in comparison["arms"].items() if metric in figures},
        "verdict": found.sentence,
        "difference": found.difference,
        "baseline": comparison.get("baseline", {}).get(metric),
        "dev": {who: figures.get(metric) for who, figures in comparison.get("dev", {}).items()},
        "paper": {"setting": paper.setting, "arms": paper.arms} if paper and paper.metric == metric else None,
    }


def leaderboard_table(content: Mapping[str, Any]) -> str:
    """The leaderboard as Markdown."""
    header = ["benchmark", "# real", "# synthetic", "metric", *MAIN_ARMS, "difference", "baseline"]
    header += ["on dev: labels / real", "paper: real / synthetic / both"]
    rule = "|---|---:|---:|---|" + "---:|" * len(MAIN_ARMS) + "---|---:|---:|---|"
    lines = ["| " + " | ".join(header) + " |", rule]
    lines += ["| " + " | ".join(cells) + " |" for cells in leaderboard_cells(content)]
    if content["missing"]:
        lines += ["", "Not run yet: " + ", ".join(content["missing"]) + "."]
    return "\n".join(lines) + "\n"


def leaderboard_cells(content: Mapping[str, Any]) -> list[list[str]]:
    """The texts of every row of the table."""
    return [
        [
            row_title(row),
            str(row["num_real"]),
            str(row["num_synthetic"]),
            f"{METRICS[row['metric']].axis} ({'higher' if row['higher_is_better'] else 'lower'} is better)",
            *[figure_text(row["metric"], row["arms"].get(arm)) for arm in MAIN_ARMS],
            row["difference"],
            _value_text(row["metric"], row["baseline"]),
            " / ".join(_value_text(row["metric"], row["dev"].get(who)) for who in ("p_decoder", "real")),
            _paper_text(row),
        ]
        for row in content["rows"]
    ]


def row_title(row: Mapping[str, Any]) -> str:
    """The benchmark, and which run it is if that was made elsewhere."""
    return f"{row['benchmark']} ({row['run']})" if row["run"] else str(row["benchmark"])


def _value_text(metric: str, value: float | None) -> str:
    return ABSENT if value is None else METRICS[metric].text(value)


def _paper_text(row: Mapping[str, Any]) -> str:
    if row["paper"] is None:
        return ABSENT
    metric, arms = METRICS[row["metric"]], row["paper"]["arms"]
    figures = [metric.text(arms[arm]) if arm in arms else ABSENT for arm in PAPER_ARMS]
    return f"{' / '.join(figures)} ({row['paper']['setting']})"


def render_leaderboard(content: Mapping[str, Any]) -> str:
    """The leaderboard as an HTML page. It opens from disk and makes no network requests."""
    rows = [
        {
            "title": row_title(row),
            "page": "" if row["run"] else f"{quote(row['benchmark'])}/index.html",
            "metric": METRICS[row["metric"]],
            "images": f"{row['num_real']} / {row['num_synthetic']}",
            "cells": cells[FIRST_ARM:-1],
            "verdict": row["verdict"],
        }
        for row, cells in zip(content["rows"], leaderboard_cells(content), strict=True)
    ]
    return (
        page_environment()
        .get_template("leaderboard.html")
        .render(
            arms=MAIN_ARMS,
            rows=rows,
            paper=list(_paper_rows(content)),
            paper_arms=PAPER_ARMS,
            missing=content["missing"],
            embedded=any(row["world"] == "miniworld" for row in content["rows"]),
        )
    )


def _paper_rows(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The paper's figures for the benchmarks of the page, each once."""
    for row in {row["benchmark"]: row for row in content["rows"] if row["paper"]}.values():
        metric, arms = METRICS[row["metric"]], row["paper"]["arms"]
        yield {
            "title": row["benchmark"],
            "metric": metric,
            "cells": [metric.text(arms[arm]) if arm in arms else ABSENT for arm in PAPER_ARMS],
            "setting": row["paper"]["setting"],
        }

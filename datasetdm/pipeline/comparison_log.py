"""What a comparison logs to MLflow: a parent run, whose children are the trainings that it compares."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from datasetdm.arms import P_DECODER, Training
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.pipeline.experiment_log import logged_run, with_run
from datasetdm.reports.comparison import shown_metrics
from datasetdm.tracking import dvc_md5
from datasetdm.utils.program import program
from datasetdm.utils.progress import say

TEST = "test"
PAGE = "index.html"


def log_comparison(
    context: Context,
    stage: Stage[Context],
    metrics: Mapping[str, Any],
    result: StageResult,
    *,
    models: Mapping[Training, Path],
    times: tuple[float, float] | None,
) -> StageResult:
    """Log a comparison.

    Its own metrics are the differences between arms. Each training gets the headline on the test images under the same
    name (`test/mask_ap`), so that MLflow can plot it over arm, seed or number of images.

    Args:
        context: the benchmark.
        stage: the stage `compare`.
        metrics: the content of `metrics.json`.
        result: the stage's report.
        models: the rows of the comparison, each with the published folder of its model.
        times: when the work began and ended.

    Returns:
        The report with the addresses of run, page and picture.
    """
    paths, name = context.paths, context.benchmark
    inputs = {f"real_{name}": paths.real, f"synthetic_{name}": paths.synthetic}
    with logged_run(context, stage, inputs=inputs, output=paths.reports, times=times, name="comparison") as run:
        run.log_metrics(_differences(metrics))
        run.log_table(_table(metrics), "arms.json")
        run.log_artifact(paths.reports / PAGE)
        result = with_run(run, result)
        trainings = []
        for row, folder in models.items():
            made_by = "train_decoder" if row.arm == P_DECODER else "train_downstream"
            if training := run.adopt(dvc_md5(folder), made_by, _headline(metrics, row)):
                trainings.append(training)
            else:
                say(f"MLflow has no run of {row}: run `{program()} {made_by} {name}` to log it")
    links = {"Report": run.page_of(PAGE), **result.links, "Arms compared in MLflow": run.comparison_of(trainings)}
    return replace(result, links=links)


def _headline(metrics: Mapping[str, Any], row: Training) -> dict[str, float]:
    """The headline figures of one training on the test images."""
    figures = metrics["arms"][row.arm]
    return {
        f"{TEST}/{name}": figures[name]["seeds"][str(row.seed)]
        for name in metrics["headline"]
        if name in figures and str(row.seed) in figures[name]["seeds"]
    }


def _differences(metrics: Mapping[str, Any]) -> dict[str, float]:
    return {
        f"{name}/{title}": difference["mean"]
        for name, found in metrics["contrasts"].items()
        for title, difference in found["differences"].items()
    }


def _table(metrics: Mapping[str, Any]) -> pd.DataFrame:
    """The means of the arms on the test images, as the report's table shows them."""
    shown = shown_metrics(metrics)
    rows = [
        {"arm": arm, **{name: figures[name]["mean"] for name in shown if name in figures}}
        for arm, figures in metrics["arms"].items()
    ]
    return pd.DataFrame(rows)

"""What a finished stage logs to MLflow: settings, figures, curves, pictures, inputs, models."""

import csv
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasetdm.datasets.standard.annotated_set import annotated_set
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.tracking import TrackedRun, dvc_md5, promote, track_run
from datasetdm.utils.digests import digest


@contextmanager
def logged_run(
    context: Context,
    stage: Stage[Context],
    *,
    inputs: Mapping[str, Path],
    output: Path,
    seconds: float | None = None,
    **tags: object,
) -> Iterator[TrackedRun]:
    """An MLflow run of a stage (or of one seed or arm of it).

    Args:
        context: the benchmark.
        stage: the stage that ran.
        inputs: the data sets that it read, by name; logged with DVC's md5 as their version.
        output: what it made; its DVC md5 becomes a tag.
        seconds: how long the work took.
        tags: further tags, such as arm and seed.
    """
    params = stage.settings(context)
    with track_run(
        benchmark=context.experiment,
        stage=stage.name,
        params=params,
        tags={"dvc_md5": dvc_md5(output), "world": context.world, **tags},
    ) as run:
        for name, path in inputs.items():
            run.log_dataset(name, path, dvc_md5(path))
        if seconds is not None:
            run.log_metrics({"seconds": seconds})
        yield run


def promote_champion(context: Context, kind: str) -> None:
    """Give the alias `champion` to the model of this kind (`decoder`, `downstream`) that is best on this dev set."""
    task = context.task()
    promote(
        f"{context.experiment}_{kind}",
        f"dev/{task.primary_metric}",
        higher_is_better=task.higher_is_better,
        among=judged_by(context),
    )


def judged_by(context: Context) -> dict[str, str]:
    """The tag that runs share whose dev figures can be compared: the dev set, by its content."""
    return {"dev_set": digest(context.settings.task, *annotated_set(context.paths.real, "dev"))}


def log_curves(run: TrackedRun, file: Path) -> None:
    """The columns of a CSV of losses as curves over its column `iteration`."""
    with file.open(newline="") as stream:
        for row in csv.DictReader(stream):
            step = int(float(row.pop("iteration")))
            run.log_metrics({f"train/{name}": float(value) for name, value in row.items() if value}, step=step)


def finite(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The figures that are numbers; a metric with nothing to measure (no large object, say) is NaN or None."""
    return {
        f"{prefix}{name}": float(value)
        for name, value in figures.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }

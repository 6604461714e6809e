"""What a finished stage logs to MLflow: settings, figures, curves, pictures, inputs."""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from datasetdm.datasets.standard.annotated_set import annotated_set
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Stage
from datasetdm.tracking import TrackedRun, artifact_file, dvc_md5, promote, track_run
from datasetdm.utils.digests import digest

PICTURES = "pictures"  # folder of a run
# What the names of figures on dev begin with. `test/...` sorts before them, and MLflow's plots begin with the first.
DEV = "train/dev_"
DECODER_DEV = "decoder/dev_"  # not an arm's, so it must not share a chart with those


@contextmanager
def logged_run(
    context: Context,
    stage: Stage[Context],
    *,
    inputs: Mapping[str, Path],
    output: Path,
    times: tuple[float, float] | None = None,
    name: str | None = None,
    facts: Mapping[str, object] | None = None,
    **tags: object,
) -> Iterator[TrackedRun]:
    """An MLflow run of a stage (or of one seed or arm of it).

    Args:
        context: the benchmark.
        stage: the stage that ran.
        inputs: the data sets that it read, by name; logged with DVC's md5 as their version.
        output: what it made; its DVC md5 becomes a tag.
        times: when the work began and ended (Unix time); None: begin and end of the block.
        name: what to call it, such as `both/0`; None: as the stage.
        facts: what tells it from other runs of the stage, such as arm and seed; logged as parameters and as tags.
        tags: further tags.
    """
    facts = facts or {}
    with track_run(
        benchmark=context.experiment,
        stage=stage.name,
        params={**facts, **stage.settings(context)},
        tags={"dvc_md5": dvc_md5(output), "world": context.world, **facts, **tags},
        name=name,
        times=times,
    ) as run:
        for input_name, path in inputs.items():
            run.log_dataset(input_name, path, dvc_md5(path))
        yield run


def log_result(run: TrackedRun, result: StageResult) -> StageResult:
    """Log the figures and pictures of a stage; returns its report with the addresses of both."""
    run.log_metrics(result.metrics)
    return with_run(run, result)


def with_run(run: TrackedRun, result: StageResult) -> StageResult:
    """Log the pictures of a stage; returns its report with the addresses of the run and of the first picture."""
    for picture in result.pictures:
        run.log_artifact(picture, PICTURES)
    shown_at = artifact_file(run.run_id, f"{PICTURES}/{Path(result.pictures[0]).name}") if result.pictures else ""
    return replace(result, links={**result.links, "MLflow run": run.page}, shown_at=shown_at)


def log_figures(run: TrackedRun, prefix: str, figures: Mapping[str, float], headline: Sequence[str]) -> None:
    """Log the headline on dev as metrics, which MLflow charts one by one, and all figures as `figures.json`."""
    run.log_metrics({f"{prefix}{name}": figures[name] for name in headline if name in figures})
    table = pd.DataFrame({"figure": list(figures), "dev": list(figures.values())})
    run.log_table(table, "figures.json")


def promote_champion(context: Context, kind: str, prefix: str) -> None:
    """Give the alias `champion` to the model of this kind (`decoder`, `downstream`) that is best on this dev set."""
    task = context.task()
    promote(
        f"{context.experiment}_{kind}",
        f"{prefix}{task.primary_metric}",
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

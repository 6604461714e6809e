"""What is logged of a trained model: its run, its pictures on dev, and its version in the registry."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasetdm.annotations.predictor import Predictor
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream import predictions
from datasetdm.pipeline.context import Context
from datasetdm.reports.overlays import overlay
from datasetdm.reports.pictures import contact_sheet
from datasetdm.task_parts import METRICS
from datasetdm.tracking import TrackedRun, dvc_md5
from datasetdm.utils.files import remove_leftovers, write_image

NUM_SHOWN = 4  # dev images, each with its label and what a model finds in it


def dev_picture(context: Context, name: str, model: Predictor) -> Path:
    """Some dev images twice, with their labels and with what a model finds; kept with the work, not published.

    Args:
        context: the benchmark.
        name: of the model, such as `both/0`.
        model: the model.
    """
    task = context.task()
    dev = standard_format(*task.kind).load(context.paths.real, "dev")
    pictures = []
    for sample, found in predictions(model, task, [dev[index] for index in range(min(NUM_SHOWN, len(dev)))]):
        for target in (task.shown(sample.target), found):
            pictures.append(overlay(target, sample.image, task.categories))
    file = context.paths.work("pictures") / context.benchmark / f"dev_{name.replace('/', '_')}.png"
    remove_leftovers(file)  # the stage that publishes holds a lock
    write_image(file, contact_sheet(pictures))
    return file


def register_model(
    context: Context,
    run: TrackedRun,
    kind: str,
    folder: Path,
    loader: str,
    *,
    facts: Mapping[str, object],
    figures: Mapping[str, float],
    inputs: Mapping[str, Path],
    options: Mapping[str, Any] | None = None,
    takes_boxes: bool = False,
    extra: str | None = None,
) -> None:
    """Register a model as a version that says what it is.

    Args:
        context: the benchmark.
        run: the run of its training.
        kind: `decoder` or `downstream`.
        folder: its files.
        loader: see `TrackedRun.register_model`, like `options`, `takes_boxes` and `extra`.
        facts: what tells it from the other versions: arm, seed, numbers of images.
        figures: its figures on dev, without a prefix.
        inputs: the data that it learnt from, by name.
    """
    metric = context.task().primary_metric
    on_dev = {f"dev/{metric}": f"{figures[metric]:.4g}"} if metric in figures else {}
    data = {f"data/{name}": dvc_md5(path) for name, path in inputs.items()}
    short = {name: value for name, value in facts.items() if "." not in name}  # the description has all
    run.register_model(
        f"{context.experiment}_{kind}",
        folder,
        loader,
        options=options,
        takes_boxes=takes_boxes,
        extra=extra,
        description=_description(context, facts, figures),
        labels={**short, **on_dev, **data},
    )


def _description(context: Context, facts: Mapping[str, object], figures: Mapping[str, float]) -> str:
    metric = context.task().primary_metric
    judged = f"{METRICS[metric].axis} on dev: {METRICS[metric].text(figures[metric])}." if metric in figures else ""
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    return f"Benchmark `{context.benchmark}`: {told}. {judged} The tag `rank` says which place it has, and why."

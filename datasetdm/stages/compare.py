"""Stage `compare`: all arms and seeds on the test set; the only reader of the test labels."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from datasetdm.downstream import DOWNSTREAM, evaluate
from datasetdm.errors import DatasetDMError
from datasetdm.formats.files import write_image, write_json, write_text
from datasetdm.reports.comparison import METRICS, plot, summarize, table
from datasetdm.reports.page import render_page
from datasetdm.reports.pictures import contact_sheet
from datasetdm.stages import train_downstream
from datasetdm.stages.checks import publish_checked
from datasetdm.stages.context import Context, missing
from datasetdm.stages.record import record
from datasetdm.stages.stage import Check, Stage
from datasetdm.stages.units import digest, make_unit
from datasetdm.structures import StageResult
from datasetdm.tasks.base import Guess

NUM_SHOWN = 12


def plan(context: Context) -> list[str]:
    """The models that are not evaluated yet, as `<arm>/<seed>`."""
    return [key for key in train_downstream.keys(context) if not _unit(context, key).exists()]


def run_unit(context: Context, key: str) -> None:
    """Evaluate one model on the test set."""

    def work(folder: Path) -> None:
        write_json(folder / "metrics.json", _evaluate(context, context.paths.downstream / key))

    make_unit(_unit(context, key), work)


def finish(context: Context) -> StageResult:
    """The table, the plot, the gallery and the page."""
    metrics = _metrics(context)
    with publish_checked(context, STAGE, context.paths.reports) as folder:
        write_json(folder / "metrics.json", metrics)
        write_text(folder / "table.md", table(metrics))
        _write_csv(metrics, folder / "arms.csv")
        plot(metrics, context.task().primary_metric, folder / "arms.png")
        galleries = _galleries(context, folder)
        page = render_page(metrics, plot=folder / "arms.png", galleries=galleries, facts=_facts(context, metrics))
        write_text(folder / "index.html", page)
    result = _result(context, metrics)
    inputs = {
        f"real_{context.benchmark}": context.paths.real,
        f"synthetic_{context.benchmark}": context.paths.synthetic,
    }
    with record(context, STAGE, inputs=inputs, output=context.paths.reports) as run:
        run.log_metrics(result.metrics)
        for picture in [*result.pictures, str(context.paths.reports / "index.html")]:
            run.log_artifact(picture)
    return result


def _result(context: Context, metrics: dict[str, Any]) -> StageResult:
    return StageResult(
        metrics={
            f"test/{arm}/{name}": figure["mean"]
            for arm, figures in metrics["arms"].items()
            for name, figure in figures.items()
            if name in METRICS
        },
        pictures=[str(context.paths.reports / "arms.png"), str(context.paths.reports / "galleries" / "synthetic.png")],
        tables={"Arms on test": table(metrics)},
    )


def _unit(context: Context, key: str) -> Path:
    model, test = context.paths.downstream / key, context.paths.real / "annotations" / "test.json"
    if not model.exists():
        raise missing(context, model, "train_downstream")
    fingerprint = digest(model / "model.safetensors", model / "config.json", test, context.settings.task)
    return context.paths.work("compare") / fingerprint


def _evaluate(context: Context, folder: Path) -> dict[str, float]:
    task = context.task()
    model = DOWNSTREAM[task.name].load(folder, device=context.params.backbone.device)
    return evaluate(model, task, task.load(context.paths.real, "test"))


@dataclass(frozen=True)
class _Trivial:
    """A task's baseline as a model."""

    guess: Guess

    def predict(self, images: Sequence[np.ndarray], hints: Sequence[Any] | None = None) -> list[Any]:
        """The same guess for all images of a size."""
        told = hints or [None] * len(images)
        return [self.guess(image.shape[:2], hint) for image, hint in zip(images, told, strict=True)]


def _baseline(context: Context) -> dict[str, float]:
    """The figures of the trivial model of the first seed's labelled images; none where it finds nothing."""
    task, real = context.task(), context.paths.real
    guess = task.baseline(sample.target for sample in task.load(real, f"few_shot_{context.seeds[0]}"))
    return {} if guess is None else evaluate(_Trivial(guess), task, task.load(real, "test"))


def _metrics(context: Context) -> dict[str, Any]:
    per_seed: dict[str, dict[int, dict[str, float]]] = {arm: {} for arm in context.settings.downstream.arms}
    for key in train_downstream.keys(context):
        arm, seed = key.split("/")
        per_seed[arm][int(seed)] = json.loads((_unit(context, key) / "metrics.json").read_text())
    manifest = pd.read_parquet(context.paths.synthetic / "manifest.parquet")
    settings = context.settings
    return {
        "benchmark": context.benchmark,
        "task": settings.task.name,
        "world": context.world,
        "headline": list(context.task().headline),
        "num_real": len(context.task().load(context.paths.real, f"few_shot_{context.seeds[0]}")),
        "num_synthetic": round(manifest["accepted"].sum() / len(context.seeds)),
        "num_generated": int(manifest["image"].nunique()),
        "num_spliced": settings.augmentation.num_images,
        "num_oracle": settings.ingest.num_oracle,
        "arms": summarize(per_seed),
        "baseline": _baseline(context),
    }


def _write_csv(metrics: dict[str, Any], file: Path) -> None:
    rows = [
        {"arm": arm, "metric": name, "mean": figure["mean"], "std": figure["std"]}
        for arm, figures in metrics["arms"].items()
        for name, figure in figures.items()
    ]
    write_text(file, pd.DataFrame(rows).to_csv(index=False))


def _galleries(context: Context, folder: Path) -> list[tuple[str, Path]]:
    task = context.task()
    subset = f"seed_{context.seeds[0]}"
    sets = [
        (
            "synthetic.png",
            "Synthetic images, with the annotations that were read off the diffusion model",
            context.paths.synthetic,
            subset,
        ),
        ("spliced.png", "Spliced images", context.paths.augmented, subset),
        ("real.png", "The real labelled images (some)", context.paths.real, f"few_shot_{context.seeds[0]}"),
    ]
    galleries = []
    for name, title, source, annotations in sets:
        samples = task.load(source, annotations)
        step = max(1, len(samples) // NUM_SHOWN)
        chosen = [samples[index] for index in range(0, len(samples), step)][:NUM_SHOWN]
        if chosen:
            picture = folder / "galleries" / name
            write_image(picture, contact_sheet([task.draw(sample.image, sample.target) for sample in chosen]))
            galleries.append((title, picture))
    return galleries


def _facts(context: Context, metrics: dict[str, Any]) -> dict[str, str]:
    settings = context.settings
    return {
        "Data": str(settings.source.root) + (" (rendered by the embedded world)" if settings.source.miniworld else ""),
        "Diffusion model": context.params.backbone.path,
        "Downstream model": f"{settings.downstream.model}, {settings.downstream.iterations} iterations per arm",
        "Images drawn": f"{metrics['num_generated']}, of which {metrics['num_synthetic']} accepted; "
        f"{metrics['num_spliced']} more spliced out of these",
        "Oracle": f"{metrics['num_oracle']} further training images with their true labels",
        "Seeds": ", ".join(map(str, context.seeds)) + " (labelled subset and initialisation)",
        "Choices": "made on dev; the test labels are read by this comparison alone",
    }


def _check_arms(context: Context, folder: Path) -> dict[str, int]:
    metrics = json.loads((folder / "metrics.json").read_text())
    absent = set(context.settings.downstream.arms) - set(metrics["arms"])
    if absent:
        raise DatasetDMError(
            f"{folder / 'metrics.json'} lacks the arms {', '.join(sorted(absent))}: run "
            f"`python -m datasetdm compare {context.benchmark}` again."
        )
    return {"arms": len(metrics["arms"])}


STAGE = Stage(
    name="compare",
    asset="comparison",
    description="All arms and seeds on the test set: table, plot, gallery, page.",
    upstream=("ingest", "synthesize", "augment", "train_downstream"),
    parameters=("task", "seeds", "downstream.arms"),
    plan=plan,
    run_unit=run_unit,
    finish=finish,
    output=lambda context: context.paths.reports,
    checks=(Check(name="arms_complete", description="Every arm has its figures.", run=_check_arms),),
)

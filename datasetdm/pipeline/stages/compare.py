"""Stage `compare`: all arms and seeds on the test sets; the only reader of the test labels."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from datasetdm.annotations.predictor import Predictor
from datasetdm.annotations.sample import Category
from datasetdm.arms import ARMS, LABELLED, P_DECODER, PSEUDO, Training
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.decoder.inference import DecoderModel
from datasetdm.decoder_methods import METHODS
from datasetdm.downstream import DOWNSTREAM, evaluate
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.baselines import Guess, fit_baseline
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.comparison_log import log_comparison
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from datasetdm.pipeline.engine.units import make_unit, unit_times
from datasetdm.pipeline.leaderboard import make_leaderboard
from datasetdm.pipeline.prompt_coverage import known_variety
from datasetdm.pipeline.report_facts import explained_arms, report_facts
from datasetdm.pipeline.report_figures import write_all_figures
from datasetdm.pipeline.rounds.choice import read_rounds
from datasetdm.pipeline.stages import adapt, annotate, augment, ingest, synthesize, train_decoder, train_downstream
from datasetdm.pipeline.training import check_installed
from datasetdm.reports.comparison import plot, summarize
from datasetdm.reports.contrasts import contrasts
from datasetdm.reports.curves import plot_losses
from datasetdm.reports.overlays import overlay
from datasetdm.reports.page import render_page, viewer_of
from datasetdm.reports.pictures import contact_sheet
from datasetdm.reports.text import comparison_text
from datasetdm.task_parts import METRICS
from datasetdm.utils.files import read_json, write_image, write_json, write_text
from datasetdm.utils.program import program

CODE_VERSION = "2"

AGAIN = "Remove it, and run the stage that wrote it again."
NUM_SHOWN = 12
GALLERY = "galleries/synthetic.png"
FIGURES = "figures"  # the folder of the page's images


def rows(context: Context) -> list[Training]:
    """All models, the P-Decoders last if the settings name them."""
    decoders = [Training(P_DECODER, seed) for seed in context.seeds if context.settings.experiment.p_decoder]
    return train_downstream.trainings(context) + decoders


def _test_sets(context: Context) -> list[str]:
    """The data set's validation images, and, if the settings say so, images of the kind that was trained on."""
    return ["test", "iid"] if context.settings.ingest.num_iid else ["test"]


def units(context: Context) -> Iterator[Unit]:
    """The models, as `<arm>/<seed>`; the payload is the `Training`, and each test set has a folder."""
    real, sets = context.paths.real, AnnotatedSets()
    for row in rows(context):
        model, folders = _model_folder(context, row), []
        for subset in _test_sets(context):
            file = annotation_file(real, subset)
            if not file.exists():  # added to the settings after `ingest`
                raise missing(context, file, "ingest")
            weights = [model / "model.safetensors", model / "config.json"]
            test = sets.identity(real, subset)
            folders.append(STAGE.folder(context, *weights, test, context.settings.task))
        yield Unit(key=str(row), folders=tuple(folders), payload=row)


def make(context: Context, unit: Unit) -> None:
    """Evaluate one model on the test sets."""
    for subset, folder in zip(_test_sets(context), unit.folders, strict=True):
        make_unit(folder, partial(_evaluate, context, unit.payload, subset))


def _evaluate(context: Context, row: Training, subset: str, folder: Path) -> None:
    task = context.task()
    samples = standard_format(*task.kind).load(context.paths.real, subset)
    write_json(folder / "metrics.json", evaluate(_model(context, row), task, samples))


def finish(context: Context, plan: Plan) -> StageResult:
    """The table, the plot, the page with its images, and the leaderboard with this comparison."""
    metrics = _metrics(context, plan)
    with publish_checked(STAGE, context) as folder:
        write_json(folder / "metrics.json", metrics)
        write_json(folder / "headline.json", _headline(metrics))
        write_text(folder / "table.md", comparison_text(metrics))
        _write_csv(metrics, folder / "arms.csv")
        plot(metrics, context.task().primary_metric, folder / "arms.png")
        plot_losses(_curves(context, plan), folder / "curves.png")
        _draw_gallery(context, folder / GALLERY)
        manifest = synthesize.read_manifest(context, context.paths.synthetic)
        sets = write_all_figures(context, manifest, folder / FIGURES)
        page = render_page(
            metrics,
            arms=explained_arms(context, metrics),
            viewer=viewer_of(context.settings.task.name, context.task().categories, sets, FIGURES),
            facts=report_facts(context, metrics),
            variety=known_variety(context),
            rounds=read_rounds(context.paths.synthetic),
            labels=_page_of_labels(context),
        )
        write_text(folder / "index.html", page)
    models = {unit.payload: _model_folder(context, unit.payload) for unit in plan}
    times = unit_times(plan.folders)
    result = log_comparison(context, STAGE, metrics, _result(context, metrics), models=models, times=times)
    make_leaderboard(context.params, context.paths.reports.parent)  # the page links to it
    return result


def _page_of_labels(context: Context) -> str:
    """The address of the page of `datasetdm labels`, relative to the report; empty if it was not made."""
    page = context.paths.labels / "index.html"
    return os.path.relpath(page, context.paths.reports).replace(os.sep, "/") if page.exists() else ""


def _result(context: Context, metrics: dict[str, Any]) -> StageResult:
    return StageResult(
        metrics={
            f"test/{arm}/{name}": figure["mean"]
            for arm, figures in metrics["arms"].items()
            for name, figure in figures.items()
            if name in METRICS
        },
        pictures=[str(context.paths.reports / "arms.png"), str(context.paths.reports / GALLERY)],
        tables={"Arms on test": comparison_text(metrics)},
    )


def _model_folder(context: Context, row: Training) -> Path:
    """Where the model of a row is published."""
    downstream, decoder = context.paths.downstream / str(row), context.paths.decoders / str(row.seed)
    folder, stage = (decoder, "train_decoder") if row.arm == P_DECODER else (downstream, "train_downstream")
    if not folder.exists():
        raise missing(context, folder, stage)
    return folder


def _model(context: Context, row: Training) -> Predictor:
    folder = _model_folder(context, row)
    if row.arm == P_DECODER:
        return DecoderModel.load(folder, context.backbone())
    return DOWNSTREAM[context.settings.task.name].load(folder, device=context.params.device)


@dataclass(frozen=True)
class _Trivial:
    """A task's baseline as a model."""

    guess: Guess
    categories: tuple[Category, ...]

    def predict(self, images: Sequence[np.ndarray], prompt_boxes: Sequence[Any] | None = None) -> list[Any]:
        """The same guess for all images of a size."""
        boxes = prompt_boxes or [None] * len(images)
        return [self.guess(image.shape[:2], given) for image, given in zip(images, boxes, strict=True)]


def _baseline(context: Context) -> dict[str, float]:
    """The figures of the trivial model of the first seed's labelled images; none where it finds nothing."""
    task, real = context.task(), context.paths.real
    files = standard_format(*task.kind)
    labelled = files.load(real, LABELLED.subset(context.seeds[0]))
    guess = fit_baseline(task.settings, (sample.target for sample in labelled))
    return {} if guess is None else evaluate(_Trivial(guess, task.categories), task, files.load(real, "test"))


def _metrics(context: Context, plan: Plan) -> dict[str, Any]:
    manifest = synthesize.read_manifest(context, context.paths.synthetic)
    settings = context.settings
    return {
        "benchmark": context.benchmark,
        "task": settings.task.name,
        "world": context.world,
        "headline": list(context.task().headline),
        "num_real": AnnotatedSets().count(context.paths.real, LABELLED.subset(context.seeds[0])),
        "num_synthetic": round(manifest["accepted"].sum() / len(context.seeds)),
        "num_generated": int(manifest["image"].nunique()),
        "num_spliced": settings.augmentation.num_images,
        "num_oracle": settings.ingest.num_oracle,
        **_num_labelled(context),
        **_on_test(context, plan, "test"),
        "baseline": _baseline(context),
        "dev": _on_dev(context),
        **({"iid": _on_test(context, plan, "iid")} if "iid" in _test_sets(context) else {}),
    }


def _on_test(context: Context, plan: Plan, subset: str) -> dict[str, Any]:
    """The rows' figures on a test set over the seeds, and the differences that matter."""
    position = _test_sets(context).index(subset)
    per_seed: dict[str, dict[int, dict[str, float]]] = {}
    for unit in plan:
        figures = read_json(unit.folders[position] / "metrics.json", remedy=AGAIN)
        per_seed.setdefault(unit.payload.arm, {})[unit.payload.seed] = figures
    arms = summarize(per_seed)
    return {"arms": arms, "contrasts": contrasts(arms, context.task().headline)}


def _on_dev(context: Context) -> dict[str, dict[str, float]]:
    """Figures on dev, the mean over seeds: of the labels (the P-Decoder with captions) and of the arm `real`.

    Labels that are no better than what `real` finds by itself have little to teach it.
    """
    folders = {P_DECODER: context.paths.decoders, "real": context.paths.downstream / "real"}
    found: dict[str, dict[str, float]] = {}
    for name, folder in folders.items():
        files = [folder / str(seed) / "metrics.json" for seed in context.seeds]
        if all(file.exists() for file in files):
            figures = [read_json(file, remedy=AGAIN) for file in files]
            found[name] = {
                metric: fmean(one[metric] for one in figures)
                for metric in context.task().headline
                if all(metric in one for one in figures)
            }
    return found


def _num_labelled(context: Context) -> dict[str, int]:
    """How many unlabelled images have got labels by the P-Decoder and by the teacher, the mean over seeds."""
    paths, sets, found = context.paths, AnnotatedSets(), {}
    for name in context.settings.experiment.arms:
        if ARMS[name].uses("pseudo"):
            found["num_pseudo"] = [sets.count(paths.pseudo, PSEUDO.subset(seed)) for seed in context.seeds]
        if ARMS[name].teacher:
            files = [paths.downstream / str(Training(name, seed)) / "labels.json" for seed in context.seeds]
            found["num_taught"] = [read_json(file, remedy=AGAIN)["images"] for file in files]
    return {name: round(sum(counts) / len(counts)) for name, counts in sorted(found.items())}


def _headline(metrics: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The few figures that DVC compares between revisions: arm -> headline metric -> mean on test."""
    return {
        arm: {name: figures[name]["mean"] for name in metrics["headline"] if name in figures}
        for arm, figures in metrics["arms"].items()
    }


def _curves(context: Context, plan: Plan) -> dict[str, list[Path]]:
    """The losses of the P-Decoders, unless nothing is trained, and of the models of each arm, a table per seed."""
    found: dict[str, list[Path]] = {}
    if METHODS[context.settings.decoder.method].trained:
        found[P_DECODER] = [context.paths.decoders / str(seed) / "curves.csv" for seed in context.seeds]
    for unit in plan:
        if unit.payload.arm != P_DECODER:
            found.setdefault(unit.payload.arm, []).append(_model_folder(context, unit.payload) / "curves.csv")
    return found


def _write_csv(metrics: dict[str, Any], file: Path) -> None:
    rows = [
        {"arm": arm, "metric": name, "mean": figure["mean"], "std": figure["std"]}
        for arm, figures in metrics["arms"].items()
        for name, figure in figures.items()
    ]
    write_text(file, pd.DataFrame(rows).to_csv(index=False))


def _draw_gallery(context: Context, file: Path) -> None:
    """Some synthetic images of the first seed on a contact sheet, for those who do not open the page."""
    task = context.task()
    samples = standard_format(*task.kind).load(context.paths.synthetic, f"seed_{context.seeds[0]}")
    step = max(1, len(samples) // NUM_SHOWN)
    chosen = [samples[index] for index in range(0, len(samples), step)][:NUM_SHOWN]
    write_image(file, contact_sheet([overlay(sample.target, sample.image, task.categories) for sample in chosen]))


def _check_arms(context: Context, folder: Path) -> dict[str, int]:
    metrics = read_json(folder / "metrics.json", remedy=AGAIN)
    absent = {row.arm for row in rows(context)} - set(metrics["arms"])
    if absent:
        raise DatasetDMError(
            f"{folder / 'metrics.json'} lacks the arms {', '.join(sorted(absent))}: run "
            f"`{program()} compare {context.benchmark}` again."
        )
    return {"arms": len(metrics["arms"])}


STAGE: Stage[Context] = Stage(
    name="compare",
    asset="comparison",
    description="All arms and seeds on the test set: table, plot, and a page with all images.",
    upstream=(
        ingest.STAGE,
        adapt.STAGE,
        train_decoder.STAGE,
        synthesize.STAGE,
        annotate.STAGE,
        augment.STAGE,
        train_downstream.STAGE,
    ),
    parameters=("task", "seeds", "source", "downstream", "experiment"),
    shared_parameters=("backbone",),
    code_version=CODE_VERSION,
    units=units,
    make=make,
    finish=finish,
    output=lambda context: context.paths.reports,
    check_ready=check_installed,
    checks=(Check(name="arms_complete", description="Every arm has its figures.", run=_check_arms),),
)

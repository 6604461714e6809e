"""Stage `compare`: all arms and seeds on the test sets; the only reader of the test labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from datasetdm.annotations.predictor import Predictor
from datasetdm.annotations.sample import Category
from datasetdm.datasets.standard.annotated_set import annotated_set, count_images
from datasetdm.decoder.inference import DecoderModel
from datasetdm.downstream import DOWNSTREAM, evaluate
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage, publish_checked
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.pipeline.record import record
from datasetdm.pipeline.stages import annotate, augment, ingest, synthesize, train_decoder, train_downstream
from datasetdm.pipeline.subjects import mismatch
from datasetdm.reports.comparison import METRICS, plot, summarize, table
from datasetdm.reports.contrasts import contrast_lines, contrasts
from datasetdm.reports.page import IID_TITLE, render_page
from datasetdm.reports.pictures import contact_sheet
from datasetdm.tasks.base import Guess
from datasetdm.utils.digests import digest
from datasetdm.utils.files import read_json, write_image, write_json, write_text

AGAIN = "Remove it, and run the stage that wrote it again."
NUM_SHOWN = 12

# A row of the comparison, though no arm: nothing is trained. The P-Decoder reads the test images themselves, told
# nothing but their pixels, as the models of the arms; the true captions might have been written from the test labels.
P_DECODER = "p_decoder"


def units(context: Context) -> dict[str, list[Path]]:
    """The models, as `<arm>/<seed>`, each with its evaluation on every test set."""
    return {key: [_unit(context, key, subset) for subset in _test_sets(context)] for key in _keys(context)}


def _test_sets(context: Context) -> list[str]:
    """The data set's validation images, and where they are asked for images of the kind that was trained on."""
    return ["test", "iid"] if context.settings.ingest.num_iid else ["test"]


def run_unit(context: Context, key: str) -> None:
    """Evaluate one model on the test sets."""
    for subset in _test_sets(context):
        make_unit(_unit(context, key, subset), partial(_evaluate, context, key, subset))


def _evaluate(context: Context, key: str, subset: str, folder: Path) -> None:
    task = context.task()
    write_json(folder / "metrics.json", evaluate(_model(context, key), task, task.load(context.paths.real, subset)))


def finish(context: Context) -> StageResult:
    """The table, the plot, the gallery and the page."""
    metrics = _metrics(context)
    with publish_checked(context, STAGE, context.paths.reports) as folder:
        write_json(folder / "metrics.json", metrics)
        write_text(folder / "table.md", _text(metrics))
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


def _text(metrics: dict[str, Any]) -> str:
    """The table, and below it the differences that matter; the same of the second test set, if there is one."""
    lines = "".join(f"- {line}\n" for line in contrast_lines(metrics))
    text = table(metrics) + (f"\n{lines}" if lines else "")
    return f"{text}\n{IID_TITLE}:\n\n{_text(metrics['iid'])}" if "iid" in metrics else text


def _keys(context: Context) -> list[str]:
    """All rows and seeds: the arms, and the P-Decoder itself where it is asked for."""
    decoders = [f"{P_DECODER}/{seed}" for seed in context.seeds] if context.settings.downstream.p_decoder else []
    return [*train_downstream.keys(context), *decoders]


def _rows(context: Context) -> list[str]:
    return list(dict.fromkeys(key.split("/")[0] for key in _keys(context)))


def _result(context: Context, metrics: dict[str, Any]) -> StageResult:
    return StageResult(
        metrics={
            f"test/{arm}/{name}": figure["mean"]
            for arm, figures in metrics["arms"].items()
            for name, figure in figures.items()
            if name in METRICS
        },
        pictures=[str(context.paths.reports / "arms.png"), str(context.paths.reports / "galleries" / "synthetic.png")],
        tables={"Arms on test": _text(metrics)},
    )


def _model_folder(context: Context, key: str) -> Path:
    """Where the model of a row and seed is published."""
    row, seed = key.split("/")
    downstream, decoder = context.paths.downstream / key, context.paths.decoders / seed
    folder, stage = (decoder, "train_decoder") if row == P_DECODER else (downstream, "train_downstream")
    if not folder.exists():
        raise missing(context, folder, stage)
    return folder


def _unit(context: Context, key: str, subset: str) -> Path:
    model, file = _model_folder(context, key), context.paths.real / "annotations" / f"{subset}.json"
    if not file.exists():  # asked for after `ingest`
        raise missing(context, file, "ingest")
    test = annotated_set(context.paths.real, subset)
    fingerprint = digest(model / "model.safetensors", model / "config.json", test, context.settings.task)
    return context.paths.work("compare") / fingerprint


def _model(context: Context, key: str) -> Predictor:
    folder = _model_folder(context, key)
    if key.startswith(f"{P_DECODER}/"):
        return DecoderModel.load(folder, context.backbone())
    return DOWNSTREAM[context.settings.task.name].load(folder, device=context.params.backbone.device)


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
    guess = task.baseline(sample.target for sample in task.load(real, f"few_shot_{context.seeds[0]}"))
    return {} if guess is None else evaluate(_Trivial(guess, task.categories), task, task.load(real, "test"))


def _metrics(context: Context) -> dict[str, Any]:
    manifest = synthesize.read_manifest(context, context.paths.synthetic)
    settings = context.settings
    return {
        "benchmark": context.benchmark,
        "task": settings.task.name,
        "world": context.world,
        "headline": list(context.task().headline),
        "num_real": count_images(context.paths.real, f"few_shot_{context.seeds[0]}"),
        "num_synthetic": round(manifest["accepted"].sum() / len(context.seeds)),
        "num_generated": int(manifest["image"].nunique()),
        "num_spliced": settings.augmentation.num_images,
        "num_oracle": settings.ingest.num_oracle,
        **_num_labelled(context),
        **_on_test(context, "test"),
        "baseline": _baseline(context),
        "dev": _on_dev(context),
        **({"iid": _on_test(context, "iid")} if "iid" in _test_sets(context) else {}),
    }


def _on_test(context: Context, subset: str) -> dict[str, Any]:
    """The rows' figures on a test set over the seeds, and the differences that matter."""
    per_seed: dict[str, dict[int, dict[str, float]]] = {row: {} for row in _rows(context)}
    for key in _keys(context):
        row, seed = key.split("/")
        per_seed[row][int(seed)] = read_json(_unit(context, key, subset) / "metrics.json", remedy=AGAIN)
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
    paths, arms = context.paths, context.settings.downstream.arms
    found = {}
    if "pseudo" in arms:
        found["num_pseudo"] = [count_images(paths.pseudo, f"seed_{seed}") for seed in context.seeds]
    if "self_training" in arms:
        files = [paths.downstream / "self_training" / str(seed) / "labels.json" for seed in context.seeds]
        found["num_taught"] = [read_json(file, remedy=AGAIN)["images"] for file in files]
    return {name: round(sum(counts) / len(counts)) for name, counts in found.items()}


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
    if "pseudo" in context.settings.downstream.arms:
        title = "Real images without labels (arm pseudo), with the annotations that the P-Decoder read off them"
        sets.append(("pseudo.png", title, context.paths.pseudo, subset))
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
        **_facts_of_mismatch(context),
        "Downstream model": f"{settings.downstream.model}, {settings.downstream.iterations} iterations per arm",
        "Images drawn": f"{metrics['num_generated']}, of which {metrics['num_synthetic']} accepted; "
        f"{metrics['num_spliced']} more spliced out of these",
        "Oracle": f"{metrics['num_oracle']} further training images with their true labels",
        **_facts_of_labels(context, metrics),
        **_facts_of_controls(context, metrics),
        "Seeds": ", ".join(map(str, context.seeds)) + " (labelled subset and initialisation)",
        "Choices": "made on dev; the test labels are read by this comparison alone",
    }


def _facts_of_mismatch(context: Context) -> dict[str, str]:
    """Why the drawn images cannot look like the real ones, where the settings let that pass."""
    reason = mismatch(context)
    return {"The drawn images are of another kind": reason} if reason else {}


def _facts_of_labels(context: Context, metrics: dict[str, Any]) -> dict[str, str]:
    """How good the labels are, beside what the model of `real` finds in the same images."""
    name = context.task().primary_metric
    names = {P_DECODER: "the P-Decoder, with captions", "real": "the model of `real`"}
    texts = [
        f"{METRICS[name].title} {METRICS[name].text(figures[name])} by {names[who]}"
        for who, figures in metrics["dev"].items()
        if name in figures
    ]
    return {"Labels on dev": ", ".join(texts)} if texts else {}


def _facts_of_controls(context: Context, metrics: dict[str, Any]) -> dict[str, str]:
    """What the further controls are, those that are asked for."""
    settings = context.settings.downstream
    images = "the oracle's images without their labels"
    facts = {}
    if "real_augmented" in settings.arms:
        spliced = metrics["num_spliced"]
        facts["real_augmented"] = f"the labelled images, and {spliced} spliced out of them as the synthetic ones are"
    if "self_training" in settings.arms:
        facts["self_training"] = (
            f"the labelled images, and {images}: what the model of `real` finds in {metrics['num_taught']} of them, "
            f"with a certainty of {settings.self_training_threshold:g} or more; spliced and mixed as in `both`"
        )
    if "pseudo" in settings.arms:
        facts["pseudo"] = (
            f"{images}: what the P-Decoder reads off {metrics['num_pseudo']} of them with their captions as prompts; "
            f"accepted, spliced and trained on as the synthetic ones. Captions written from labels, where the data set "
            f"has none: {_captions_from_labels(context)}"
        )
    if settings.p_decoder:
        facts[P_DECODER] = "no training: the P-Decoder on the test images, told nothing but their pixels"
    return facts


def _captions_from_labels(context: Context) -> int:
    return int(read_json(context.paths.real / "ingest.json", remedy=AGAIN)["oracle"]["captions_written_here"])


def _check_arms(context: Context, folder: Path) -> dict[str, int]:
    metrics = read_json(folder / "metrics.json", remedy=AGAIN)
    absent = set(_rows(context)) - set(metrics["arms"])
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
    upstream=(
        ingest.STAGE,
        train_decoder.STAGE,
        synthesize.STAGE,
        annotate.STAGE,
        augment.STAGE,
        train_downstream.STAGE,
    ),
    parameters=("task", "seeds", "source", "downstream"),
    uses_backbone=True,
    units=units,
    run_unit=run_unit,
    finish=finish,
    output=lambda context: context.paths.reports,
    checks=(Check(name="arms_complete", description="Every arm has its figures.", run=_check_arms),),
)

"""Stage `synthesize`: the synthetic set; a unit is a shard of images with its annotations.

With `synthesis.rounds` there are further units between the shards of two rounds: what a downstream model has learnt
from the images so far, and the choice of the prompts that come next. With `synthesis.cross_validation` there are
further units after all shards: what models that learnt from some images make of the others.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from pathlib import Path

import pandas as pd

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.annotated_set import count_images
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.annotated_sets import check_accepted, describe_sets
from datasetdm.pipeline.calibrated import WORK as CALIBRATING
from datasetdm.pipeline.calibrated import calibration_units, publish_calibrations, published_calibrations
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from datasetdm.pipeline.engine.units import unit_seconds, unit_times
from datasetdm.pipeline.experiment_log import log_result, logged_run
from datasetdm.pipeline.image_archives import has_images, pack_images, restore_images
from datasetdm.pipeline.near_copies import check_drawn
from datasetdm.pipeline.rounds.choice import ROUND, Choice, read_rounds
from datasetdm.pipeline.rounds.cross_validation import Fold, contradicted, leave_out
from datasetdm.pipeline.rounds.plan import make_unit_of_round, plan_rounds
from datasetdm.pipeline.rounds.shard import DRAWING, REJECTED, Shard, subsets
from datasetdm.pipeline.stages import adapt, ingest, train_decoder, write_prompts
from datasetdm.pipeline.training import check_installed
from datasetdm.prompts import choose_subjects, load_prompts
from datasetdm.reports.overlays import overlay
from datasetdm.reports.pictures import contact_sheet
from datasetdm.reports.promises import promise_text
from datasetdm.reports.rounds import round_metrics, round_tables
from datasetdm.tasks.base import Task
from datasetdm.utils.files import link, write_image
from datasetdm.utils.program import program

CODE_VERSION = "2"
DRAWING_VERSION = "2"  # of the code that draws images, which takes longest: other annotations leave the drawings alone

NUM_PREVIEWS = 24
IMAGES, REJECTED_IMAGES = "images", f"{REJECTED}/images"  # folders of the published set


def units(context: Context) -> Iterator[Unit]:
    """The shards by number and, with several rounds, what is learnt after each; see `datasetdm.pipeline.rounds`."""
    table = context.paths.prompts
    if not table.exists():
        raise missing(context, table, "write_prompts")
    prompts = load_prompts(table, tuple(choose_subjects(context.task().subjects, context.settings.prompts)))
    yield from plan_rounds(context, prompts, partial(STAGE.folder, context), drawing_version=DRAWING_VERSION)


def finish(context: Context, plan: Plan) -> StageResult:
    """Put the shards together: images, annotations per seed, manifest, previews.

    `images/` holds what the decoder of at least one seed has an accepted annotation of; the others lie apart, as a
    reader of folders would take them for images without objects. An image that some seeds accept is in the annotations
    of these seeds alone; the manifest's `folder` says where each lies. `rejected/` is a set of the same form: the
    images that at least one decoder's annotation was rejected of, with these annotations.
    """
    shards, task = [unit.folder for unit in _shards(plan)], context.task()
    files = standard_format(*task.kind)
    with publish_checked(STAGE, context) as folder:
        left_out = contradicted(context, _folds(plan))
        manifest = _manifest(context, plan, left_out)
        for name in (IMAGES, REJECTED_IMAGES):
            (folder / name).mkdir(parents=True)
        folder_of = dict(zip(manifest["image"], manifest["folder"], strict=True))
        doubted = {*manifest.loc[~manifest["accepted"], "image"]}
        for shard in shards:
            for name in os.listdir(shard / "images"):
                for place in {folder_of[name]} | ({REJECTED_IMAGES} if name in doubted else set()):
                    link(f"{shard}/images/{name}", f"{folder}/{place}/{name}")
        for subset in subsets(context):
            rows = manifest[manifest["decoder"] == subset]
            accepted, rejected = ({*rows.loc[rows["accepted"] == yes, "image"]} for yes in (True, False))
            files.join(folder, subset, shards, accepted)
            own = [shard / REJECTED for shard in shards]  # cross-validation leaves out what the filter had accepted
            files.join(folder / REJECTED, subset, [*own, *shards] if left_out else own, rejected)
            loaded = chain.from_iterable(files.load(shard, subset) for shard in shards)
            _draw_previews(task, (sample for sample in loaded if sample.name in accepted), folder, subset)
        manifest.to_parquet(folder / "manifest.parquet", index=False)
        for unit in _choices(plan):
            link(unit.folder / ROUND, folder / "rounds" / f"{unit.payload.round}.json")
        publish_calibrations(context, folder)
        pack_images(folder)
    made = [*_drawings(context, plan), *plan.folders]
    return _log(context, _result(context, manifest, sum(map(unit_seconds, made))), unit_times(made))


def folders(manifest: pd.DataFrame) -> "pd.Series[str]":
    """The folder of each row's image: `IMAGES` where any decoder's annotation of it was accepted."""
    accepted = manifest.groupby("image")["accepted"].transform("any")
    return accepted.map({True: IMAGES, False: REJECTED_IMAGES})


def seconds_spent(context: Context) -> float:
    """How long it took to draw the images and to annotate them with the decoder of one seed."""
    plan = STAGE.plan(context)
    rest = sum(map(unit_seconds, plan.folders))  # annotating and judging, with all seeds
    return sum(map(unit_seconds, _drawings(context, plan))) + rest / len(context.seeds)


def _rests_on(context: Context, plan: Plan) -> list[Path]:
    """What the shards are made of: the drawn images, and what dev says of the decoders' scores."""
    return [*_drawings(context, plan), *calibration_units(context)]


def _drawings(context: Context, plan: Plan) -> list[Path]:
    """The units of the images, where these are drawn before they are annotated."""
    drawings = [unit.payload.drawing(context) for unit in _shards(plan)]
    return [folder for folder in drawings if folder]


def _shards(plan: Plan) -> list[Unit]:
    return [unit for unit in plan if isinstance(unit.payload, Shard)]


def _choices(plan: Plan) -> list[Unit]:
    """What was learnt after each round; none if there is one round only."""
    return [unit for unit in plan if isinstance(unit.payload, Choice)]


def _folds(plan: Plan) -> list[Unit]:
    """The parts of the cross-validation; none if there is none."""
    return [unit for unit in plan if isinstance(unit.payload, Fold)]


def _manifest(context: Context, plan: Plan, left_out: Mapping[str, set[str]]) -> pd.DataFrame:
    parts = []
    for unit in _shards(plan):
        parts.append(pd.read_parquet(unit.folder / "manifest.parquet"))
        parts[-1].insert(1, "shard", unit.key)
        if context.settings.synthesis.rounds > 1:
            parts[-1].insert(1, "round", unit.payload.round)
    manifest = leave_out(pd.concat(parts, ignore_index=True), left_out)
    manifest.insert(1, "folder", folders(manifest))
    return manifest


def _log(context: Context, result: StageResult, times: tuple[float, float] | None) -> StageResult:
    paths, name = context.paths, context.benchmark
    inputs = {f"real_{name}": paths.real, f"decoders_{name}": paths.decoders, f"prompts_{name}": paths.prompts}
    with logged_run(context, STAGE, inputs=inputs, output=paths.synthetic, times=times) as run:
        return log_result(run, result)


def _draw_previews(task: Task, accepted: Iterable[Sample], folder: Path, subset: str) -> None:
    samples = list(islice(accepted, NUM_PREVIEWS))
    if samples:
        pictures = [overlay(sample.target, sample.image, task.categories) for sample in samples]
        write_image(folder / "previews" / f"{subset}.png", contact_sheet(pictures))


def _result(context: Context, manifest: pd.DataFrame, seconds: float) -> StageResult:
    reasons = manifest["rejected"].fillna("accepted").groupby(manifest["decoder"]).value_counts()
    rounds = read_rounds(context.paths.synthetic)
    promises = published_calibrations(context.paths.synthetic)
    return StageResult(
        metrics={
            "images": float(manifest["image"].nunique()),
            "accepted_fraction": float(manifest["accepted"].mean()),
            "seconds_per_image": seconds / manifest["image"].nunique(),
            **round_metrics(rounds),
        },
        pictures=[str(path) for path in sorted((context.paths.synthetic / "previews").glob("*.png"))],
        tables={
            "Accepted and rejected": reasons.rename("images").reset_index().to_markdown(index=False),
            **round_tables(rounds),
            **({"What is promised of the labels": promise_text(promises)} if promises else {}),
        },
    )


def _check(context: Context, folder: Path) -> dict[str, int]:
    return check_accepted(context, folder, subsets(context), "synthetic")


def read_manifest(context: Context, folder: Path) -> pd.DataFrame:
    """The manifest of a set, a row per image and decoder.

    Raises:
        DatasetDMError: it is missing or damaged.
    """
    file = folder / "manifest.parquet"
    if not file.exists():
        raise missing(context, file, "synthesize")
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:  # pyarrow's errors are of both kinds
        raise DatasetDMError(
            f"{file} is damaged ({error}): run `{program()} synthesize {context.benchmark}` again."
        ) from None


def _check_manifest(context: Context, folder: Path) -> dict[str, int]:
    file, manifest = folder / "manifest.parquet", read_manifest(context, folder)
    accepted = manifest[manifest["accepted"]].groupby("decoder").size()
    for subset in subsets(context):
        listed, written = int(accepted.get(subset, 0)), count_images(folder, subset)
        if listed != written:
            raise DatasetDMError(
                f"{file} accepts {listed} images of {subset}, its annotations hold "
                f"{written}: run `{program()} synthesize {context.benchmark}` again."
            )
    for name, placed in (
        (IMAGES, set(manifest.loc[manifest["folder"] == IMAGES, "image"])),
        (REJECTED_IMAGES, set(manifest.loc[~manifest["accepted"], "image"])),
    ):
        there = set(_names(folder / name))
        if placed != there:
            raise DatasetDMError(
                f"{file} places {len(placed)} images in {folder / name}, which holds {len(there)}, of them "
                f"{len(placed & there)} the same: run `{program()} synthesize {context.benchmark}` again."
            )
    return {"rows": len(manifest)}


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _check_ready(context: Context) -> None:
    if _trains(context):
        check_installed(context)


def _trains(context: Context) -> bool:
    """Whether a downstream model is trained on the way: after each of several rounds, or to judge the others."""
    return context.settings.synthesis.rounds > 1 or context.settings.synthesis.cross_validation is not None


STAGE: Stage[Context] = Stage(
    name="synthesize",
    asset="synthetic",
    description="Images drawn by the diffusion model, with the annotations that the P-Decoder reads off it.",
    upstream=(ingest.STAGE, adapt.STAGE, train_decoder.STAGE, write_prompts.STAGE),
    parameters=("task", "seeds", "synthesis", "downstream", "experiment"),
    unused=lambda context: () if _trains(context) else ("downstream", "experiment"),
    shared_parameters=("backbone",),
    code_version=f"{CODE_VERSION}.{DRAWING_VERSION}",
    units=units,
    make=make_unit_of_round,
    further_work=(DRAWING, CALIBRATING),
    rests_on=_rests_on,
    finish=finish,
    is_whole=has_images,
    restore=restore_images,
    output=lambda context: context.paths.synthetic,
    check_ready=_check_ready,
    describe=lambda context, folder: describe_sets(folder),
    checks=(
        Check(
            name="annotations_valid",
            description="Annotations load, ids are unique, masks lie inside their images, no set is empty.",
            run=_check,
        ),
        Check(
            name="manifest_complete",
            description="The manifest and the annotations name the same accepted images.",
            run=_check_manifest,
        ),
        Check(
            name="no_copies_drawn",
            description="No drawn image is nearly the same as a real one, and few are as another drawn one.",
            run=check_drawn,
            advice=True,
        ),
    ),
)

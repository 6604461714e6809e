"""Stage `synthesize`: the synthetic set; a unit is a shard of images with its annotations."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.annotated_set import count_images
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.checkpoint import decoder_fingerprint, load_decoder
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.annotated_sets import check_accepted, describe_sets
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from datasetdm.pipeline.engine.units import make_unit, unit_seconds
from datasetdm.pipeline.experiment_log import logged_run
from datasetdm.pipeline.stages import ingest, train_decoder, write_prompts
from datasetdm.prompts import choose_subjects, load_prompts
from datasetdm.reports.overlays import overlay
from datasetdm.reports.pictures import contact_sheet
from datasetdm.synthesis.generate import Annotator, GenerationRequest, draw, make_requests, synthesize
from datasetdm.synthesis.manifest import accepted_sample, manifest_rows
from datasetdm.tasks.base import Task
from datasetdm.utils.digests import digest
from datasetdm.utils.files import link, write_image

CODE_VERSION = "1"
DRAWING_VERSION = "1"  # of the code that draws images, which takes longest: other annotations leave the drawings alone

NUM_PREVIEWS = 24
IMAGES, REJECTED = "images", "rejected"  # folders of the published set


def subsets(context: Context) -> list[str]:
    """The names of the annotation files, one per seed of the labelled subset."""
    return [f"seed_{seed}" for seed in context.seeds]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """What it takes to make a shard.

    Attributes:
        requests: its images.
        drawing: the unit of the images, drawn before they are annotated; None if their features are read while they are
            drawn. It is named by what decides how they look: another decoder, or another benchmark with the same
            prompts, does not draw them again.
    """

    requests: list[GenerationRequest]
    drawing: Path | None


def units(context: Context) -> Iterator[Unit]:
    """The shards by number, each with its `Shard`; a shard is named by all that its content depends on."""
    settings, paths = context.settings.synthesis, context.paths
    if not paths.prompts.exists():
        raise missing(context, paths.prompts, "write_prompts")
    task, fingerprint = context.task(), context.backbone().fingerprint
    words = [(word.noun, word.synonyms) for word in task.words]
    decoders = [decoder_fingerprint(_decoder_folder(context, seed)) for seed in context.seeds]
    # How many images are drawn in all, and in what portions, does not matter to a shard.
    own = [settings.sampler, settings.extraction, settings.filter]
    common = digest(*own, fingerprint, context.settings.task, words, decoders, list(context.seeds))
    prompts = load_prompts(paths.prompts, tuple(choose_subjects(task.subjects, context.settings.prompts)))
    requests = make_requests(prompts, settings.num_images, settings.seed)
    # Features of the last step exist only while an image is drawn.
    draws_ahead = settings.extraction != "last_step"
    for number, start in enumerate(range(0, len(requests), settings.shard_size)):
        part = requests[start : start + settings.shard_size]
        looks = digest(DRAWING_VERSION, settings.sampler, fingerprint, [(order.prompt, order.seed) for order in part])
        shard = Shard(requests=part, drawing=paths.work("draw") / looks if draws_ahead else None)
        folder = STAGE.folder(context, common, [vars(order) for order in part])
        yield Unit(key=f"shard_{number:05d}", folders=(folder,), payload=shard)


def make(context: Context, unit: Unit) -> None:
    """Draw and annotate one shard."""
    shard: Shard = unit.payload
    if not unit.folder.exists() and shard.drawing:
        _draw(context, shard.requests, shard.drawing)  # before the unit, whose time is then that of the labels alone
    make_unit(unit.folder, lambda folder: _make_shard(context, shard, folder))


def finish(context: Context, plan: Plan) -> StageResult:
    """Put the shards together: images, annotations per seed, manifest, previews.

    `images/` holds what the decoder of at least one seed has an accepted annotation of, `rejected/` all others, as a
    reader of folders would take these for images without objects. An image that some seeds accept is in `images/`, and
    in the annotations of these seeds alone; the manifest's `folder` says where each lies.
    """
    shards, task = plan.folders, context.task()
    files = standard_format(*task.kind)
    with publish_checked(STAGE, context) as folder:
        manifest = pd.concat([pd.read_parquet(shard / "manifest.parquet") for shard in shards], ignore_index=True)
        manifest.insert(1, "folder", folders(manifest))
        for name in (IMAGES, REJECTED):
            (folder / name).mkdir()
        folder_of = dict(zip(manifest["image"], manifest["folder"], strict=True))
        for shard in shards:
            for image in (shard / "images").iterdir():
                link(image, folder / folder_of[image.name] / image.name)
        for subset in subsets(context):
            files.save(folder, subset, chain.from_iterable(files.load(shard, subset) for shard in shards))
            _draw_previews(task, chain.from_iterable(files.load(shard, subset) for shard in shards), folder, subset)
        manifest.to_parquet(folder / "manifest.parquet", index=False)
    seconds = sum(_seconds(plan))
    result = _result(context, manifest, seconds)
    _log(context, result, seconds)
    return result


def folders(manifest: pd.DataFrame) -> "pd.Series[str]":
    """The folder of each row's image: `IMAGES` where any decoder's annotation of it was accepted."""
    accepted = manifest.groupby("image")["accepted"].transform("any")
    return accepted.map({True: IMAGES, False: REJECTED})


def seconds_spent(context: Context) -> float:
    """How long it took to draw the images and to annotate them with the decoder of one seed."""
    drawing, labelling = _seconds(STAGE.plan(context))
    return drawing + labelling / len(context.seeds)


def _seconds(plan: Plan) -> tuple[float, float]:
    """How long it took to draw the images of all shards, and to annotate them with the decoders of all seeds."""
    drawings = [unit.payload.drawing for unit in plan if unit.payload.drawing]
    return sum(map(unit_seconds, drawings)), sum(map(unit_seconds, plan.folders))


def _log(context: Context, result: StageResult, seconds: float) -> None:
    paths, name = context.paths, context.benchmark
    inputs = {f"real_{name}": paths.real, f"decoders_{name}": paths.decoders, f"prompts_{name}": paths.prompts}
    with logged_run(context, STAGE, inputs=inputs, output=paths.synthetic, seconds=seconds) as run:
        run.log_metrics(result.metrics)
        for picture in result.pictures:
            run.log_artifact(picture)


def _decoder_folder(context: Context, seed: int) -> Path:
    folder = context.paths.decoders / str(seed)
    if not folder.exists():
        raise missing(context, folder, "train_decoder")
    return folder


def _draw(context: Context, requests: list[GenerationRequest], drawing: Path) -> torch.Tensor:
    """The drawn images of a shard, as latents; `drawing` is their unit."""
    settings, backbone = context.settings.synthesis, context.backbone()

    def work(folder: Path) -> None:
        latents = draw(backbone, requests, settings.sampler, settings.batch_size)
        save_file({"latents": latents.cpu().contiguous()}, folder / "latents.safetensors")

    make_unit(drawing, work)
    return load_file(drawing / "latents.safetensors")["latents"]


def _make_shard(context: Context, shard: Shard, folder: Path) -> None:
    task, backbone, settings = context.task(), context.backbone(), context.settings.synthesis
    annotators = list(_annotators(context))
    accepted: dict[str, list[Sample]] = {annotator.name: [] for annotator in annotators}
    rows = []
    latents = _draw(context, shard.requests, shard.drawing) if shard.drawing else None
    for labelled in synthesize(backbone, task, annotators, shard.requests, settings, latents):
        write_image(folder / "images" / labelled.request.name, labelled.image)
        rows += manifest_rows(labelled, annotators, backbone, settings)
        for name, samples in accepted.items():
            if (sample := accepted_sample(labelled, name)) is not None:
                samples.append(sample)
    for name, samples in accepted.items():
        standard_format(*task.kind).save(folder, name, samples)
    pd.DataFrame(rows).to_parquet(folder / "manifest.parquet", index=False)


def _annotators(context: Context) -> Iterator[Annotator]:
    for seed in context.seeds:
        folder = _decoder_folder(context, seed)
        decoder, _, settings = load_decoder(folder, context.backbone())
        yield Annotator(
            name=f"seed_{seed}",
            fingerprint=decoder_fingerprint(folder),
            decoder=decoder,
            settings=settings,
        )


def _draw_previews(task: Task, accepted: Iterable[Sample], folder: Path, subset: str) -> None:
    samples = list(islice(accepted, NUM_PREVIEWS))
    if samples:
        pictures = [overlay(sample.target, sample.image, task.categories) for sample in samples]
        write_image(folder / "previews" / f"{subset}.png", contact_sheet(pictures))


def _result(context: Context, manifest: pd.DataFrame, seconds: float) -> StageResult:
    reasons = manifest["rejected"].fillna("accepted").groupby(manifest["decoder"]).value_counts()
    return StageResult(
        metrics={
            "images": float(manifest["image"].nunique()),
            "accepted_fraction": float(manifest["accepted"].mean()),
            "seconds_per_image": seconds / manifest["image"].nunique(),
        },
        pictures=[str(path) for path in sorted((context.paths.synthetic / "previews").glob("*.png"))],
        tables={"Accepted and rejected": reasons.rename("images").reset_index().to_markdown(index=False)},
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
            f"{file} is damaged ({error}): run `python -m datasetdm synthesize {context.benchmark}` again."
        ) from None


def _check_manifest(context: Context, folder: Path) -> dict[str, int]:
    file, manifest = folder / "manifest.parquet", read_manifest(context, folder)
    accepted = manifest[manifest["accepted"]].groupby("decoder").size()
    for subset in subsets(context):
        listed, written = int(accepted.get(subset, 0)), count_images(folder, subset)
        if listed != written:
            raise DatasetDMError(
                f"{file} accepts {listed} images of {subset}, its annotations hold "
                f"{written}: run `python -m datasetdm synthesize {context.benchmark}` again."
            )
    for name in (IMAGES, REJECTED):
        placed, there = set(manifest.loc[manifest["folder"] == name, "image"]), set(_names(folder / name))
        if placed != there:
            raise DatasetDMError(
                f"{file} places {len(placed)} images in {folder / name}, which holds {len(there)}, of them "
                f"{len(placed & there)} the same: run `python -m datasetdm synthesize {context.benchmark}` again."
            )
    return {"rows": len(manifest)}


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


STAGE: Stage[Context] = Stage(
    name="synthesize",
    asset="synthetic",
    description="Images drawn by the diffusion model, with the annotations that the P-Decoder reads off it.",
    upstream=(ingest.STAGE, train_decoder.STAGE, write_prompts.STAGE),
    parameters=("task", "seeds", "synthesis"),
    shared_parameters=("backbone",),
    code_version=f"{CODE_VERSION}.{DRAWING_VERSION}",
    units=units,
    make=make,
    finish=finish,
    output=lambda context: context.paths.synthetic,
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
    ),
)

"""Stage `synthesize`: the synthetic set; a unit is a shard of images with its annotations."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.annotated_set import count_images
from datasetdm.decoder.checkpoint import decoder_fingerprint, load_decoder
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.checks import check_accepted
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage, publish_checked
from datasetdm.pipeline.engine.units import make_unit, unit_seconds
from datasetdm.pipeline.record import record
from datasetdm.pipeline.stages import ingest, train_decoder, write_prompts
from datasetdm.prompts import choose_subjects, load_prompts
from datasetdm.reports.pictures import contact_sheet
from datasetdm.synthesis.generate import Annotator, GenerationRequest, draw, make_requests, sampler_of, synthesize
from datasetdm.synthesis.manifest import accepted_sample, manifest_rows
from datasetdm.tasks.base import Task
from datasetdm.utils.digests import digest
from datasetdm.utils.files import link, write_image

NUM_PREVIEWS = 24
IMAGES, REJECTED = "images", "rejected"  # folders of the published set


def subsets(context: Context) -> list[str]:
    """The names of the annotation files, one per seed of the labelled subset."""
    return [f"seed_{seed}" for seed in context.seeds]


def units(context: Context) -> dict[str, list[Path]]:
    """The shards, by number."""
    return {key: [unit] for key, _, unit in _shards(context)}


def run_unit(context: Context, key: str) -> None:
    """Draw and annotate one shard."""
    orders, unit = next((orders, unit) for name, orders, unit in _shards(context) if name == key)
    if not unit.exists() and _draws_ahead(context):
        _drawn(context, orders)  # before the shard, whose time is then that of the labels alone
    make_unit(unit, lambda folder: _make_shard(context, orders, folder))


def finish(context: Context) -> StageResult:
    """Put the shards together: images, annotations per seed, manifest, previews.

    `images/` holds what the decoder of at least one seed has an accepted annotation of, `rejected/` all others, as a
    reader of folders would take these for images without objects. An image that some seeds accept is in `images/`, and
    in the annotations of these seeds alone; the manifest's `folder` says where each lies.
    """
    shards = [unit for _, _, unit in _shards(context)]
    task = context.task()
    with publish_checked(context, STAGE, context.paths.synthetic) as folder:
        manifest = pd.concat([pd.read_parquet(shard / "manifest.parquet") for shard in shards], ignore_index=True)
        manifest.insert(1, "folder", folders(manifest))
        for name in (IMAGES, REJECTED):
            (folder / name).mkdir()
        folder_of = dict(zip(manifest["image"], manifest["folder"], strict=True))
        for shard in shards:
            for image in (shard / "images").iterdir():
                link(image, folder / folder_of[image.name] / image.name)
        for subset in subsets(context):
            task.save(folder, subset, chain.from_iterable(task.load(shard, subset) for shard in shards))
            _draw_previews(task, chain.from_iterable(task.load(shard, subset) for shard in shards), folder, subset)
        manifest.to_parquet(folder / "manifest.parquet", index=False)
    drawing, labelling = _seconds(context)
    result = _result(context, manifest, drawing + labelling)
    _record(context, result, drawing + labelling)
    return result


def folders(manifest: pd.DataFrame) -> "pd.Series[str]":
    """The folder of each row's image: `IMAGES` where any decoder's annotation of it was accepted."""
    accepted = manifest.groupby("image")["accepted"].transform("any")
    return accepted.map({True: IMAGES, False: REJECTED})


def seconds_spent(context: Context) -> float:
    """How long it took to draw the images and to annotate them with the decoder of one seed."""
    drawing, labelling = _seconds(context)
    return drawing + labelling / len(context.seeds)


def _seconds(context: Context) -> tuple[float, float]:
    """How long it took to draw the images of all shards, and to annotate them with the decoders of all seeds."""
    shards = _shards(context)
    drawing = sum(unit_seconds(_drawing(context, orders)) for _, orders, _ in shards) if _draws_ahead(context) else 0.0
    return drawing, sum(unit_seconds(unit) for _, _, unit in shards)


def _record(context: Context, result: StageResult, seconds: float) -> None:
    paths, name = context.paths, context.benchmark
    inputs = {f"real_{name}": paths.real, f"decoders_{name}": paths.decoders, f"prompts_{name}": paths.prompts}
    with record(context, STAGE, inputs=inputs, output=paths.synthetic, seconds=seconds) as run:
        run.log_metrics(result.metrics)
        for picture in result.pictures:
            run.log_artifact(picture)


def _shards(context: Context) -> list[tuple[str, list[GenerationRequest], Path]]:
    """Key, orders and folder of every shard; a shard is named by all that its content depends on."""
    settings, paths = context.settings.synthesis, context.paths
    if not paths.prompts.exists():
        raise missing(context, paths.prompts, "write_prompts")
    task = context.task()
    subjects = tuple(choose_subjects(task.subjects, context.settings.prompts))
    # How many images are drawn in all, and in what portions, is no property of a shard.
    own = settings.model_dump(exclude={"num_images", "shard_size", "batch_size", "seed"})
    labellers = [_decoder_fingerprint(context, seed) for seed in context.seeds]
    common = digest(
        own, context.backbone().fingerprint, context.settings.task, task.words, labellers, list(context.seeds)
    )
    size = (settings.num_images, settings.seed, settings.shard_size)
    cut = _cut(paths.prompts, digest(paths.prompts), subjects, size, common)
    return [
        (f"shard_{number:05d}", orders, paths.work("synthesize") / name) for number, (orders, name) in enumerate(cut)
    ]


@lru_cache(maxsize=4)
def _cut(
    table: Path, content: str, subjects: tuple[Category, ...], size: tuple[int, int, int], common: str
) -> list[tuple[list[GenerationRequest], str]]:
    """Orders and name of every shard; kept, as each unit looks for its own among all of them."""
    num_images, seed, shard_size = size
    orders = make_requests(load_prompts(table, subjects), num_images, seed)
    parts = [orders[start : start + shard_size] for start in range(0, len(orders), shard_size)]
    return [(part, digest(common, [vars(order) for order in part])) for part in parts]


def _decoder_fingerprint(context: Context, seed: int) -> str:
    folder = context.paths.decoders / str(seed)
    if not folder.exists():
        raise missing(context, folder, "train_decoder")
    return decoder_fingerprint(folder)


def _draws_ahead(context: Context) -> bool:
    """Whether images are drawn before they are read; features of the last step are read off while they are drawn."""
    return context.settings.synthesis.extraction != "last_step"


def _drawing(context: Context, orders: list[GenerationRequest]) -> Path:
    """The unit of a shard's drawn images.

    It is named by what decides how they look: another decoder, or another benchmark with the same prompts, does not
    draw them again.
    """
    wanted = [(order.prompt, order.seed) for order in orders]
    sampler = sampler_of(context.settings.synthesis)
    return context.paths.work("draw") / digest(sampler, context.backbone().fingerprint, wanted)


def _drawn(context: Context, orders: list[GenerationRequest]) -> torch.Tensor:
    """The drawn images of a shard, as latents."""
    settings, backbone = context.settings.synthesis, context.backbone()

    def work(folder: Path) -> None:
        save_file({"latents": draw(backbone, orders, settings).cpu().contiguous()}, folder / "latents.safetensors")

    unit = _drawing(context, orders)
    make_unit(unit, work)
    return load_file(unit / "latents.safetensors")["latents"]


def _make_shard(context: Context, orders: list[GenerationRequest], folder: Path) -> None:
    task, backbone, settings = context.task(), context.backbone(), context.settings.synthesis
    labellers = list(_labellers(context))
    accepted: dict[str, list[Sample]] = {labeller.name: [] for labeller in labellers}
    rows = []
    latents = _drawn(context, orders) if _draws_ahead(context) else None
    for labelled in synthesize(backbone, task, labellers, orders, settings, latents):
        write_image(folder / "images" / labelled.request.name, labelled.image)
        rows += manifest_rows(labelled, labellers, backbone, settings)
        for name, samples in accepted.items():
            if (sample := accepted_sample(labelled, name)) is not None:
                samples.append(sample)
    for name, samples in accepted.items():
        task.save(folder, name, samples)
    pd.DataFrame(rows).to_parquet(folder / "manifest.parquet", index=False)


def _labellers(context: Context) -> Iterator[Annotator]:
    for seed in context.seeds:
        decoder, _, settings = load_decoder(context.paths.decoders / str(seed), context.backbone())
        yield Annotator(
            name=f"seed_{seed}",
            fingerprint=_decoder_fingerprint(context, seed),
            decoder=decoder,
            settings=settings,
        )


def _draw_previews(task: Task, accepted: Iterable[Sample], folder: Path, subset: str) -> None:
    samples = list(islice(accepted, NUM_PREVIEWS))
    if samples:
        pictures = [task.draw(sample.image, sample.target) for sample in samples]
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


STAGE = Stage(
    name="synthesize",
    asset="synthetic",
    description="Images drawn by the diffusion model, with the annotations that the P-Decoder reads off it.",
    upstream=(ingest.STAGE, train_decoder.STAGE, write_prompts.STAGE),
    parameters=("task", "seeds", "synthesis"),
    uses_backbone=True,
    units=units,
    run_unit=run_unit,
    finish=finish,
    output=lambda context: context.paths.synthetic,
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

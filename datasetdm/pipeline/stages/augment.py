"""Stage `augment`: images spliced out of the synthetic ones, and for the controls out of others.

A unit is a shard of one set, named `<set>/<number>`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from datasetdm.annotations.sample import Sample
from datasetdm.arms import ARMS, DRAWN_SPLICED
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.pipeline.annotated_sets import AnnotatedSets, describe_sets
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.plan import Plan, Unit
from datasetdm.pipeline.engine.publish import publish_checked
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.pipeline.image_archives import has_images, pack_images, restore_images
from datasetdm.pipeline.stages import annotate, ingest, synthesize
from datasetdm.transforms.splice import augment_with_rows
from datasetdm.utils.files import link

CODE_VERSION = "1"

SHARD_SIZE = 500  # splices
MANIFEST = "manifest.parquet"
COLUMNS = ["image", "set", "source_folder", "source_set", "sources", "boxes", "grid", "max_size", "seed"]


@dataclass(frozen=True, kw_only=True)
class SplicedSet:
    """A set of spliced images.

    Attributes:
        name: of its annotation file.
        folder: where the set lies that it is spliced out of.
        source: the name of that set.
        stage: the stage that makes it.
    """

    name: str
    folder: Path
    source: str
    stage: str


def spliced_sets(context: Context) -> list[SplicedSet]:
    """The spliced sets: those of the synthetic images, and those of the controls that the settings name.

    All have the same settings, so that no arm has fewer splices than the arm that it is compared with.
    """
    named = (ARMS[name] for name in ARMS if name in context.settings.experiment.arms)
    wanted = dict.fromkeys([DRAWN_SPLICED, *(source for arm in named for source in arm.sources)])
    return [
        SplicedSet(
            name=spliced.subset(seed),
            folder=getattr(context.paths, spliced.spliced_from.output),
            source=spliced.spliced_from.subset(seed),
            stage=spliced.spliced_from.stage,
        )
        for spliced in wanted
        if spliced.spliced_from
        for seed in context.seeds
    ]


def units(context: Context) -> Iterator[Unit]:
    """The shards of all sets; the payload is the set and the shard's number."""
    context.task()  # if the real images are missing, that is the first thing to say
    sets, settings = AnnotatedSets(), context.settings.augmentation
    for spliced in spliced_sets(context):
        file = annotation_file(spliced.folder, spliced.source)
        if not file.exists():
            raise missing(context, file, spliced.stage)
        identity = sets.identity(spliced.folder, spliced.source)
        common = [spliced.name, SHARD_SIZE, COLUMNS, context.settings.task, settings, identity]
        # One shard even if no splice is wanted, so that there is a set.
        for number in range(max(1, math.ceil(settings.num_images / SHARD_SIZE))):
            folder = STAGE.folder(context, *common, number)
            yield Unit(key=f"{spliced.name}/{number}", folders=(folder,), payload=(spliced, number))


def make(context: Context, unit: Unit) -> None:
    """Splice one shard."""
    spliced, number = unit.payload

    def work(folder: Path) -> None:
        task, settings = context.task(), context.settings.augmentation
        part = slice(number * SHARD_SIZE, (number + 1) * SHARD_SIZE)
        (folder / "images").mkdir()
        rows: list[dict[str, Any]] = []

        def samples() -> Iterator[Sample]:
            source = standard_format(*task.kind).load(spliced.folder, spliced.source)
            for sample, row in augment_with_rows(source, settings, prefix=spliced.name, part=part):
                origin = {"source_folder": str(spliced.folder), "source_set": spliced.source}
                rows.append({"set": spliced.name, **row, **origin})
                yield sample

        standard_format(*task.kind).save(folder, spliced.name, samples())
        pd.DataFrame(rows, columns=COLUMNS).to_parquet(folder / MANIFEST, index=False)

    make_unit(unit.folder, work)


def finish(context: Context, plan: Plan) -> StageResult:
    """Put the shards of every set together and publish them, with a manifest of what each splice is made of."""
    files = standard_format(*context.task().kind)
    shards: dict[str, list[Path]] = {}
    for unit in plan:
        shards.setdefault(unit.payload[0].name, []).append(unit.folder)
    with publish_checked(STAGE, context) as folder:
        (folder / "images").mkdir()
        for subset, parts in shards.items():
            for image in chain.from_iterable((part / "images").iterdir() for part in parts):
                link(image, folder / "images" / image.name)
            files.join(folder, subset, parts)
        manifest = pd.concat([pd.read_parquet(part / MANIFEST) for part in plan.folders], ignore_index=True)
        manifest.to_parquet(folder / MANIFEST, index=False)
        pack_images(folder)
    sets = AnnotatedSets()
    return StageResult(
        metrics={f"{subset}/images": float(sets.count(context.paths.augmented, subset)) for subset in shards}
    )


def _check(context: Context, folder: Path) -> dict[str, int]:
    files = standard_format(*context.task().kind)
    return {spliced.name: files.check(folder, spliced.name)["images"] for spliced in spliced_sets(context)}


STAGE: Stage[Context] = Stage(
    name="augment",
    asset="augmented",
    description="Several synthetic images spliced into one, with their annotations (the paper's augmentation).",
    upstream=(ingest.STAGE, synthesize.STAGE, annotate.STAGE),
    parameters=("task", "seeds", "augmentation", "experiment.arms"),
    code_version=CODE_VERSION,
    units=units,
    make=make,
    finish=finish,
    is_whole=has_images,
    restore=restore_images,
    output=lambda context: context.paths.augmented,
    describe=lambda context, folder: describe_sets(folder),
    checks=(
        Check(
            name="annotations_valid",
            description="Annotations load, ids are unique, masks lie inside their images.",
            run=_check,
        ),
    ),
)

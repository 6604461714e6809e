"""Stage `augment`: images spliced out of the synthetic ones, and for the controls out of others.

A unit is a shard of one set, named `<set>/<number>`.
"""

import math
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.annotated_set import annotated_set, count_images
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.engine.result import StageResult
from datasetdm.pipeline.engine.stage import Check, Stage, publish_checked
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.pipeline.stages import annotate, ingest, synthesize
from datasetdm.transforms.splice import augment_with_rows
from datasetdm.utils.digests import digest
from datasetdm.utils.files import link

SHARD_SIZE = 500  # splices
MANIFEST = "manifest.parquet"
COLUMNS = ["image", "set", "source_folder", "source_set", "sources", "boxes", "grid", "max_size", "seed"]


def sources(context: Context) -> dict[str, tuple[Path, str, str]]:
    """The spliced sets: name -> folder and subset that it is spliced out of, and the stage that makes that.

    Beside the synthetic images those of the arms `real_augmented` and `pseudo`, where they are asked for: by the same
    settings, so that these arms have no less of it than `synthetic` and `both`.
    """
    paths, arms = context.paths, context.settings.downstream.arms
    found = {f"seed_{seed}": (paths.synthetic, f"seed_{seed}", "synthesize") for seed in context.seeds}
    if "real_augmented" in arms:
        found |= {f"real_{seed}": (paths.real, f"few_shot_{seed}", "ingest") for seed in context.seeds}
    if "pseudo" in arms:
        found |= {f"pseudo_{seed}": (paths.pseudo, f"seed_{seed}", "annotate") for seed in context.seeds}
    return found


def units(context: Context) -> dict[str, list[Path]]:
    """The shards of all sets, each a unit."""
    return {key: [unit] for subset in sources(context) for key, unit in _units(context, subset).items()}


def run_unit(context: Context, key: str) -> None:
    """Splice one shard."""
    subset, number = key.split("/")
    folder, source, _ = sources(context)[subset]
    start = int(number) * SHARD_SIZE

    def work(unit: Path) -> None:
        task, settings = context.task(), context.settings.augmentation
        part = slice(start, start + SHARD_SIZE)
        (unit / "images").mkdir()
        rows: list[dict[str, Any]] = []

        def samples() -> Iterator[Sample]:
            for sample, row in augment_with_rows(task.load(folder, source), settings, prefix=subset, part=part):
                rows.append({"set": subset, **row, "source_folder": str(folder), "source_set": source})
                yield sample

        task.save(unit, subset, samples())
        pd.DataFrame(rows, columns=COLUMNS).to_parquet(unit / MANIFEST, index=False)

    make_unit(_units(context, subset)[key], work)


def finish(context: Context) -> StageResult:
    """Put the shards of every set together and publish them, with a manifest of what each splice is made of."""
    task = context.task()
    with publish_checked(context, STAGE, context.paths.augmented) as folder:
        (folder / "images").mkdir()
        for subset in sources(context):
            units = _units(context, subset).values()
            for image in chain.from_iterable((unit / "images").iterdir() for unit in units):
                link(image, folder / "images" / image.name)
            task.save(folder, subset, chain.from_iterable(task.load(unit, subset) for unit in units))
        shards = [unit for subset in sources(context) for unit in _units(context, subset).values()]
        manifest = pd.concat([pd.read_parquet(unit / MANIFEST) for unit in shards], ignore_index=True)
        manifest.to_parquet(folder / MANIFEST, index=False)
        metrics = {f"{subset}/images": float(count_images(folder, subset)) for subset in sources(context)}
    return StageResult(metrics=metrics)


def _units(context: Context, subset: str) -> dict[str, Path]:
    """The shards of a spliced set by key; one even where no splice is asked for, so that there is a set."""
    context.task()  # without the real images nothing else is there either
    folder, source, stage = sources(context)[subset]
    file = folder / "annotations" / f"{source}.json"
    if not file.exists():
        raise missing(context, file, stage)
    settings = context.settings.augmentation
    common = digest(subset, SHARD_SIZE, COLUMNS, context.settings.task, settings, *annotated_set(folder, source))
    return {
        f"{subset}/{number}": context.paths.work("augment") / digest(common, number)
        for number in range(max(1, math.ceil(settings.num_images / SHARD_SIZE)))
    }


def _check(context: Context, folder: Path) -> dict[str, int]:
    task = context.task()
    return {subset: task.check(folder, subset)["images"] for subset in sources(context)}


STAGE = Stage(
    name="augment",
    asset="augmented",
    description="Several synthetic images spliced into one, with their annotations (the paper's augmentation).",
    upstream=(ingest.STAGE, synthesize.STAGE, annotate.STAGE),
    parameters=("task", "seeds", "augmentation", "downstream.arms"),
    units=units,
    run_unit=run_unit,
    finish=finish,
    output=lambda context: context.paths.augmented,
    checks=(
        Check(
            name="annotations_valid",
            description="Annotations load, ids are unique, masks lie inside their images.",
            run=_check,
        ),
    ),
)

"""What is exported of benchmarks: their annotated sets, with all that is known of the images."""

from collections.abc import Sequence
from typing import Any

from datasetdm import config
from datasetdm.arms import DRAWN, Source
from datasetdm.datasets.exporting.contents import SPLITS, Contents, SourceSet
from datasetdm.datasets.exporting.merging import Merged, merge_categories
from datasetdm.datasets.standard.depth_png import depth_units
from datasetdm.datasets.standard.formats import MapFormat, standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.export_sets import SETS
from datasetdm.pipeline.stages.synthesize import read_manifest
from datasetdm.task_parts import scores_of


def merged_categories(contexts: Sequence[Context], *, renumber: bool = False) -> Merged:
    """One list of categories for all; see `merge_categories`."""
    lists = {context.benchmark: context.task().categories for context in contexts}
    if not contexts[0].settings.task.finds_categories:  # what the images of such a task show is no part of its labels
        first = next(iter(lists.values()))
        return Merged(categories=first, tables={}, renumbered={})
    return merge_categories(lists, renumber=renumber)


def contents_of(
    contexts: Sequence[Context], names: Sequence[str], merged: Merged, *, seed: int | None = None
) -> Contents:
    """Sets of one benchmark or of several.

    Args:
        contexts: of benchmarks of the same task.
        names: keys of `SETS`.
        merged: the categories of all.
        seed: which of the benchmark's seeds made the labels; None: the first.

    Raises:
        DatasetDMError: a set is missing, all are empty, or a benchmark has no such seed.
    """
    sets = AnnotatedSets()
    found = [
        _source_set(context, name, seed, merged, sets)
        for split in SPLITS
        for context in contexts
        for name in names
        if SETS[name][1] == split
    ]
    found = [part for part in found if part.count]
    if not found:
        whose = ", ".join(context.benchmark for context in contexts)
        raise DatasetDMError(f"There is no image to export: {' and '.join(names)} of {whose} are empty.")
    settings = _settings_of(contexts)
    files = standard_format(settings, merged.categories)
    return Contents(
        task=settings.name,
        categories=merged.categories,
        sets=tuple(found),
        codec=files.codec if isinstance(files, MapFormat) else None,
        details=details_of(settings),
        description=f"{', '.join(names)} images of {', '.join(context.benchmark for context in contexts)}",
    )


def _settings_of(contexts: Sequence[Context]) -> config.TaskSection:
    """The settings of the task that the maps of all benchmarks fit into."""
    every: list[Any] = [context.settings.task for context in contexts]
    return max(every, key=lambda settings: getattr(settings, "max_depth", 0))


def details_of(settings: config.TaskSection) -> dict[str, Any]:
    """What a reader of the maps of a task has to know besides them."""
    if isinstance(settings, config.DepthAnnotation):
        return {"units_per_metre": depth_units(settings.max_depth)}
    return {}


def _source_set(context: Context, name: str, seed: int | None, merged: Merged, sets: AnnotatedSets) -> SourceSet:
    source, split = SETS[name]
    subset, root = source.subset(_seed(context, seed)), getattr(context.paths, source.output)
    if not annotation_file(root, subset).exists():
        raise missing(context, annotation_file(root, subset), source.stage)
    table = merged.tables.get(context.benchmark)
    files = standard_format(*context.task().kind)
    return SourceSet(
        benchmark=context.benchmark,
        name=name,
        split=split,
        count=sets.count(root, subset),
        describe=lambda: files.describe(root, subset),
        table=None if len(merged.tables) < 2 else table,
        columns=_columns(context, subset) if source is DRAWN else {},
        license=license_of(context, source),
    )


def _seed(context: Context, seed: int | None) -> int:
    if seed is not None and seed not in context.seeds:
        raise DatasetDMError(
            f"{context.benchmark} has no seed {seed}; `seeds` in params.yaml has {', '.join(map(str, context.seeds))}."
        )
    return context.seeds[0] if seed is None else seed


def _columns(context: Context, subset: str) -> dict[str, dict[str, Any]]:
    """The seed and the scores of each generated image, by its name."""
    manifest = read_manifest(context, context.paths.synthetic)
    rows = manifest[(manifest["decoder"] == subset) & manifest["accepted"]]
    names = [name for name in ("seed", *scores_of(context.settings.task.name)) if name in rows]
    return dict(zip(rows["image"], rows[names].to_dict("records"), strict=True))


def license_of(context: Context, source: Source) -> dict[str, Any]:
    """The licence of images that come without one, as a COCO record."""
    if source.output == "real":
        return {"id": 1, "name": "not stated by the data set", "url": ""}
    model = context.params.backbone.path
    return {"id": 1, "name": f"generated with {model}: the licence of that model applies", "url": ""}

"""`datasetdm export`: annotated sets of benchmarks in the format of another tool."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasetdm import config
from datasetdm.arms import DRAWN, Source
from datasetdm.datasets.exporting.contents import SPLITS, Contents, SourceSet, Split
from datasetdm.datasets.exporting.exporting import check_target, export
from datasetdm.datasets.exporting.formats import choose_format
from datasetdm.datasets.exporting.merging import Merged, merge_categories
from datasetdm.datasets.standard.depth_png import depth_units
from datasetdm.datasets.standard.formats import MapFormat, standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.export_sets import SETS, TOGETHER
from datasetdm.pipeline.stages.synthesize import read_manifest
from datasetdm.task_parts import scores_of


@dataclass(frozen=True, kw_only=True)
class Options:
    """How sets are exported; see the options of the command.

    Attributes:
        format: a key of `FORMATS`.
        out: the folder.
        sets: keys of `SETS` and `TOGETHER`.
        seed: which of the benchmark's seeds made the labels; None: the first.
        copy: copy image files instead of linking them.
        renumber: give categories new ids where those of several benchmarks disagree.
    """

    format: str
    out: Path
    sets: Sequence[str] = ("synthetic",)
    seed: int | None = None
    copy: bool = False
    renumber: bool = False


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export did: the number of images of each split, what the format could not hold, and the ids that changed
    by benchmark."""

    images: Mapping[Split, int]
    lost: Mapping[str, int]
    renumbered: Mapping[str, Mapping[int, int]]


def export_data(contexts: Sequence[Context], options: Options) -> Exported:
    """Export sets of one benchmark or of several.

    Raises:
        DatasetDMError: the format cannot carry the task, a set is missing, the benchmarks do not fit together, or
            `options.out` is there and is not an export.
    """
    contexts = list({context.benchmark: context for context in contexts}.values())
    task = _task_of(contexts)
    chosen = choose_format(options.format, task)
    check_target(options.out)
    _check_apart(contexts, options.out)
    merged = _merged(contexts, renumber=options.renumber)
    contents = _contents(contexts, options, merged)
    lost: Counter[str] = export(
        contents,
        chosen.write,
        options.out,
        copy=options.copy,
        plain_names=chosen.plain_names,
        facts={"format": options.format, "renumbered": merged.renumbered},
    )
    return Exported(
        images={split: contents.count(split) for split in contents.splits}, lost=lost, renumbered=merged.renumbered
    )


def _task_of(contexts: Sequence[Context]) -> str:
    tasks = {context.benchmark: context.settings.task.name for context in contexts}
    if len({*tasks.values()}) > 1:
        named = ", ".join(f"{benchmark}: {task}" for benchmark, task in tasks.items())
        raise DatasetDMError(f"The benchmarks have different tasks ({named}): export those of each task by themselves.")
    return next(iter(tasks.values()))


def _check_apart(contexts: Sequence[Context], out: Path) -> None:
    """The folders of the project's own outputs are no place for an export."""
    for context in contexts:
        for folder in (context.paths.real, context.paths.synthetic, context.paths.augmented):
            if out.resolve().is_relative_to(folder.resolve()):
                raise DatasetDMError(f"{out} lies in {folder}, which is what is exported: choose another --out.")


def _merged(contexts: Sequence[Context], *, renumber: bool) -> Merged:
    lists = {context.benchmark: context.task().categories for context in contexts}
    if not contexts[0].settings.task.finds_categories:  # what the images of such a task show is no part of its labels
        first = next(iter(lists.values()))
        return Merged(categories=first, tables={}, renumbered={})
    return merge_categories(lists, renumber=renumber)


def _contents(contexts: Sequence[Context], options: Options, merged: Merged) -> Contents:
    names = list(dict.fromkeys(name for given in options.sets for name in TOGETHER.get(given, (given,))))
    sets = AnnotatedSets()
    found = [
        _source_set(context, name, options.seed, merged, sets)
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
        details=_details(settings),
        description=f"{', '.join(names)} images of {', '.join(context.benchmark for context in contexts)}",
    )


def _settings_of(contexts: Sequence[Context]) -> config.TaskSection:
    """The settings of the task that the maps of all benchmarks fit into."""
    every: list[Any] = [context.settings.task for context in contexts]
    return max(every, key=lambda settings: getattr(settings, "max_depth", 0))


def _details(settings: config.TaskSection) -> dict[str, Any]:
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
        license=_license(context, source),
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


def _license(context: Context, source: Source) -> dict[str, Any]:
    """The licence of images that come without one, as a COCO record."""
    if source.output == "real":
        return {"id": 1, "name": "not stated by the data set", "url": ""}
    model = context.params.backbone.path
    return {"id": 1, "name": f"generated with {model}: the licence of that model applies", "url": ""}

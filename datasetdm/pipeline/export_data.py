"""`datasetdm export`: annotated sets of benchmarks in the format of another tool."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasetdm.datasets.exporting.contents import Split
from datasetdm.datasets.exporting.exporting import check_target, export
from datasetdm.datasets.exporting.formats import choose_format
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.export_contents import contents_of, merged_categories
from datasetdm.pipeline.export_sets import TOGETHER


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
    merged = merged_categories(contexts, renumber=options.renumber)
    names = list(dict.fromkeys(name for given in options.sets for name in TOGETHER.get(given, (given,))))
    contents = contents_of(contexts, names, merged, seed=options.seed)
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

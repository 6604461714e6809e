"""The images that a report shows: every set with its annotations, each image once."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from datasetdm.annotations.sample import Sample
from datasetdm.arms import ARMS, LABELLED
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.rounds.shard import REJECTED, subsets
from datasetdm.reports.figures import Figure, FigureSet, write_figures
from datasetdm.reports.layers import layer
from datasetdm.task_parts import scores_of
from datasetdm.tasks.base import Task
from datasetdm.utils.progress import Progress

#: Column of the manifest of synthetic images -> what a reader knows it as.
ORIGIN = {
    "prompt_id": "row of the prompt table",
    "prompt_kind": "kind of prompt",
    "seed": "seed",
    "generator_seed": "seed of the noise",
    "shard": "shard",
    "round": "round",
    "decoder": "P-Decoder",
}
SPLICED_FROM = {"grid": "grid", "sources": "joined from"}
SYNTHETIC_TITLE = "Synthetic images, {}"


def write_all_figures(context: Context, manifest: pd.DataFrame, folder: Path) -> list[FigureSet]:
    """Write the synthetic images of every seed, and the real, spliced and pseudo-labelled images of the first.

    Args:
        context: the benchmark.
        manifest: of its synthetic set.
        folder: see `write_figures`.
    """
    found = []
    for subset in subsets(context):
        rows = manifest[manifest["decoder"] == subset]
        title = SYNTHETIC_TITLE.format(subset.replace("_", " "))
        figures = _synthetic(context, subset, rows)
        root = context.paths.synthetic
        found.append(_write(context, folder, f"synthetic_{subset}", figures, title, root, len(rows)))
    for other in _other_sets(context):
        samples = standard_format(*context.task().kind).load(other.root, other.subset)
        figures = (annotated_figure(sample, context.task(), other.origins.get(sample.name, {})) for sample in samples)
        found.append(_write(context, folder, other.name, figures, other.title, other.root, len(samples)))
    return found


class _Set(NamedTuple):
    """Annotated images that no manifest of synthetic images lists."""

    name: str
    title: str
    root: Path
    subset: str
    origins: Mapping[str, Mapping[str, str]] = MappingProxyType({})  # image -> title -> text


def _other_sets(context: Context) -> Iterator[_Set]:
    paths, first = context.paths, subsets(context)[0]
    yield _Set("real", "Real labelled images", paths.real, LABELLED.subset(context.seeds[0]))
    title = "Images spliced out of the synthetic ones"
    yield _Set("spliced", title, paths.augmented, first, _spliced_from(paths.augmented))
    if any(ARMS[arm].uses("pseudo") for arm in context.settings.experiment.arms):
        yield _Set("pseudo", "Real images that the P-Decoder labelled", paths.pseudo, first)


def drawn_figure(sample: Sample, row: Mapping[Any, Any], task: Task, file: str) -> Figure:
    """A drawn image with its annotation.

    Args:
        sample: the image and what the filter has left of the annotation.
        row: of the manifest.
        task: what is annotated.
        file: see `Figure`.
    """
    names = str(row["prompt_categories"]).split(";")
    asked = [label for label, category in enumerate(task.categories) if category.name in names]
    return Figure(
        file=file,
        size=_size(sample),
        caption=sample.caption,
        layer=layer(sample.target, task.categories),
        labels=tuple({*asked, *(sample.target.category_labels() or ())}),
        scores={name: float(row[name]) for name in scores_of(task.name) if name in row},
        rejected=None if row["accepted"] else str(row["rejected"]),
        origin={title: str(row[column]) for column, title in ORIGIN.items() if column in row},
    )


def _synthetic(context: Context, subset: str, rows: pd.DataFrame) -> Iterator[Figure]:
    """The images of a seed in the order of the manifest, which is also that of its annotation files."""
    task, root = context.task(), context.paths.synthetic
    files = standard_format(*task.kind)
    samples = {
        True: iter(files.load(root, subset)),
        False: iter(files.load(root / REJECTED, subset) if annotation_file(root / REJECTED, subset).exists() else ()),
    }
    for row in rows.to_dict("records"):
        sample = next(samples[row["accepted"]], None)
        if sample is None:  # sets of an older version have no annotations of rejected images
            continue
        if sample.name != row["image"]:
            raise DatasetDMError(
                f"The manifest of {root} lists {row['image']} where its annotations have {sample.name}: run `python -m "
                f"datasetdm synthesize {context.benchmark}` again."
            )
        yield drawn_figure(sample, row, task, f"{row['folder']}/{row['image']}")


def annotated_figure(sample: Sample, task: Task, origin: Mapping[str, str]) -> Figure:
    """An image with an annotation that no filter has looked at, or that it has accepted."""
    return Figure(
        file=f"images/{sample.name}",
        size=_size(sample),
        caption=sample.caption,
        layer=layer(sample.target, task.categories),
        labels=sample.target.category_labels() or (),
        origin=origin,
    )


def _size(sample: Sample) -> tuple[int, int]:
    height, width = sample.image.shape[:2]
    return width, height


def _spliced_from(root: Path) -> dict[str, dict[str, str]]:
    """What each spliced image is made of: its name -> title -> text."""
    file = root / "manifest.parquet"
    if not file.exists():
        return {}
    rows = pd.read_parquet(file).to_dict("records")
    return {row["image"]: {title: _listed(row[column]) for column, title in SPLICED_FROM.items()} for row in rows}


def _listed(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(map(str, value))


def _write(
    context: Context, folder: Path, name: str, figures: Iterable[Figure], title: str, root: Path, count: int
) -> FigureSet:
    """Write a set with progress; its images are found from the page, which lies in `reports`."""
    where = os.path.relpath(root, context.paths.reports).replace(os.sep, "/") + "/"
    return write_figures(folder, name, _counted(figures, count), title=title, root=where)


def _counted(figures: Iterable[Figure], count: int) -> Iterator[Figure]:
    progress = Progress(count, "images of the report")
    for number, figure in enumerate(figures, 1):
        yield figure
        progress.update(number)

"""`datasetdm review --worst`: the most doubtful images of a set, as files that a labelling tool reads."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from datasetdm.datasets.exporting.contents import Contents, SourceSet
from datasetdm.datasets.exporting.exporting import export
from datasetdm.datasets.exporting.formats import FORMATS
from datasetdm.datasets.standard.described import Described
from datasetdm.datasets.standard.formats import MapFormat, StandardFormat, standard_format
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.label_quality import Doubt
from datasetdm.pipeline.context import Context, missing
from datasetdm.pipeline.export_contents import details_of, license_of
from datasetdm.pipeline.labels.doubts import choose_judge, doubts
from datasetdm.pipeline.labels.instructions import instructions
from datasetdm.pipeline.labels.label_studio import write_tasks
from datasetdm.pipeline.reviewed.store import REVIEWABLE
from datasetdm.utils.digests import file_digest
from datasetdm.utils.files import remove_leftovers, replacing, write_json, write_text

#: Folder of a review -> the format of what is in it, and the tasks for which it is written.
TOOLS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "cvat": ("cvat", ("instance", "semantic", "pose")),
    "coco": ("coco_polygons", ("instance", "pose")),
    "voc": ("voc", ("semantic",)),
    "maps": ("imagefolder", ("depth",)),
}
REVIEW = "review.json"  # what was sent, for `take`; written last
TABLE = "worst.csv"
_LONGEST = 60  # letters of a file name that are kept


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What was sent: the folder, its tools, how many images, by whose judgement, and the worst of them."""

    folder: Path
    tools: Sequence[str]
    count: int
    judge: str
    worst: Sequence[tuple[str, Doubt]]


def send_worst(context: Context, out: Path, *, sets: Sequence[str], worst: int, seed: int | None = None) -> Sent:
    """Write the images of which a model doubts the labels most.

    Args:
        context: the benchmark.
        out: a folder that is not there yet; it appears once it is complete.
        sets: keys of `REVIEWABLE`.
        worst: number of images, of all sets together.
        seed: which of the benchmark's seeds made the labels; None: the first.

    Raises:
        DatasetDMError: a set or a model is missing, or `out` is there.
    """
    seed = context.seeds[0] if seed is None else seed
    if seed not in context.seeds:
        raise DatasetDMError(f"{context.benchmark} has no seed {seed}, but {', '.join(map(str, context.seeds))}.")
    _check_out(out)
    judged: list[tuple[str, str, Doubt]] = []
    judges = {}
    for name in sets:
        judges[name] = choose_judge(context, REVIEWABLE[name], seed)
        found = doubts(context, REVIEWABLE[name], seed, judges[name])
        judged += [(name, image, doubt) for image, doubt in found.items()]
    chosen = sorted(judged, key=lambda item: (item[2].score, item[0], item[1]))[:worst]
    if not chosen:
        raise DatasetDMError(f"There is no image to review: {' and '.join(sets)} of {context.benchmark} are empty.")
    return send(
        context,
        out,
        seed=seed,
        chosen=chosen,
        judge="; ".join(f"{name}: {judge}" for name, judge in judges.items()),
    )


def send(context: Context, out: Path, *, seed: int, chosen: Sequence[tuple[str, str, Doubt]], judge: str) -> Sent:
    """Write chosen images: the set, the name and the doubt of each; the other arguments as above."""
    files = standard_format(*context.task().kind)
    codec = files.codec if isinstance(files, MapFormat) else None
    task = context.settings.task.name
    tools = [tool for tool, (_, tasks) in TOOLS.items() if task in tasks]
    if not tools:
        raise DatasetDMError(f"No labelling tool takes the labels of the task '{task}', so they cannot be reviewed.")
    described = _described(context, files, seed, chosen)
    contents = Contents(
        task=task,
        categories=context.task().categories,
        sets=tuple(_source_sets(context, described)),
        codec=codec,
        details=details_of(context.settings.task),
        description=f"images of {context.benchmark} to be reviewed",
    )
    _check_out(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    with replacing(out) as folder:
        folder.mkdir()
        for tool in tools:
            # Copies: a tool that edits a file in place must not change the project's.
            export(contents, FORMATS[TOOLS[tool][0]].write, folder / tool, copy=True)
        label_studio = write_tasks(folder / "coco")
        images = _sent_images(folder / tools[0], described)
        write_text(folder / TABLE, _table(images))
        write_text(folder / "README.md", instructions(context, out, tools, len(images), label_studio=label_studio))
        record = {
            "benchmark": context.benchmark,
            "task": task,
            "seed": seed,
            "judge": judge,
            "details": dict(contents.details),
            "images": images,
        }
        write_json(folder / REVIEW, record)
    worst = [(image, doubt) for _, image, doubt in chosen]
    return Sent(folder=out, tools=tools, count=len(images), judge=judge, worst=worst)


def _check_out(out: Path) -> None:
    """Refuse a folder with anything in it: an older review may hold hours of somebody's work."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DatasetDMError(
            f"{out} is there, and may hold corrections that did not come back yet. Take them back with --take, then "
            "move the folder away, or choose another --folder."
        )


@dataclass(frozen=True)
class _Chosen:
    """An image that is sent: its set, its name there, the doubt, and the rest under the name that it is sent by."""

    set: str
    image: str
    doubt: Doubt
    described: Described


def _described(
    context: Context, files: StandardFormat, seed: int, chosen: Sequence[tuple[str, str, Doubt]]
) -> list[_Chosen]:
    """The chosen images in their order, the worst first."""
    known: dict[tuple[str, str], Described] = {}
    for name in dict.fromkeys(name for name, _, _ in chosen):
        source = REVIEWABLE[name]
        root, subset = getattr(context.paths, source.output), source.subset(seed)
        if not annotation_file(root, subset).exists():
            raise missing(context, annotation_file(root, subset), source.stage)
        wanted = {image for of, image, _ in chosen if of == name}
        known |= {(name, item.name): item for item in files.describe(root, subset) if item.name in wanted}
    return [
        _Chosen(name, image, doubt, replace(known[name, image], name=_file_name(place, image)))
        for place, (name, image, doubt) in enumerate(chosen)
    ]


def _source_sets(context: Context, described: Sequence[_Chosen]) -> Iterator[SourceSet]:
    for name in dict.fromkeys(item.set for item in described):
        own = [item.described for item in described if item.set == name]
        yield SourceSet(
            benchmark=context.benchmark,
            name=name,
            split="train",
            count=len(own),
            describe=lambda own=own: iter(own),  # type: ignore[misc]
            license=license_of(context, REVIEWABLE[name]),
        )


def _file_name(place: int, name: str) -> str:
    """A name that every tool takes, and by which tools sort: the worst first."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).stem)[:_LONGEST]
    return f"{place + 1:05d}_{plain}{Path(name).suffix}"


def _sent_images(folder: Path, described: Sequence[_Chosen]) -> list[dict[str, Any]]:
    """What was written: an entry per image, with the content of its file, by which `take` knows it again."""
    files = (file for place in folder.rglob("images") for file in place.iterdir())
    written = {file.stem: file for file in files if file.is_file()}
    images = []
    for item in described:
        file = written[Path(item.described.name).stem]  # a photo that EXIF turned has become a PNG
        images.append(
            {
                "set": item.set,
                "image": item.image,
                "file": file.relative_to(folder.parent).as_posix(),
                "sha256": file_digest(file).hex(),
                "score": round(item.doubt.score, 4),
                "reason": item.doubt.reason,
                "caption": item.described.caption,
                "attribution": [asdict(part) for part in item.described.attribution],
            }
        )
    return images


def _table(images: Sequence[Mapping[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["file", "set", "score", "reason"], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(images)
    return stream.getvalue()

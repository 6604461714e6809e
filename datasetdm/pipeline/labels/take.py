"""`datasetdm review --take`: what a person has corrected comes back, checked, and is kept."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.sample import Attribution, Category, Sample
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.importing import exports
from datasetdm.datasets.importing.checking import check
from datasetdm.datasets.importing.contents import Contents
from datasetdm.datasets.importing.files import is_image, look_at, normal, walk
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.importing.writing import FORMATS, write
from datasetdm.datasets.merged import MergedSplit
from datasetdm.datasets.native import open_split
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.labels.send import REVIEW
from datasetdm.pipeline.reviewed.store import ORIGINS, SUBSET, has_reviewed
from datasetdm.utils.files import link, read_json, remove_leftovers, replacing, write_json
from datasetdm.utils.program import program

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What came back: images, of how many that were sent, how many were new, and what a person should read of it."""

    images: int
    sent: int
    new: int
    in_all: int
    folder: Path
    report: Sequence[str]


def take_back(context: Context, review: Path, paths: Sequence[Path], *, keep_going: bool = False) -> Taken:
    """Read corrected labels and add them to those that came back before; all of it or nothing.

    Args:
        context: the benchmark.
        review: the folder that was sent.
        paths: what the labelling tool exported: folders or files of any layout that `datasetdm import` reads.
        keep_going: take the rest where images or objects cannot be used.

    Raises:
        DatasetDMError: all that is wrong, in one message.
    """
    record = _record_of(context, review)
    findings = Findings()
    look_at.cache_clear()  # files may have changed since another call
    with tempfile.TemporaryDirectory(prefix="datasetdm-review-") as cache:
        contents, report = exports.read(_request(record, review, paths, Path(cache)), None, findings)
        contents = check(contents, findings)
        _check_kind(contents, record, findings)
        known = _known(contents, record, review, findings)
        labels = _check_categories(contents, context, findings)
        if not keep_going:
            _check_nothing_lost(findings)
        findings.raise_problems()
        native = Path(cache) / "native"
        pictures = tuple(replace(picture, subset="train") for picture in contents.pictures)
        write(replace(contents, pictures=pictures), native)
        split = open_split(FORMATS[contents.task], native, "train")
        table = np.array([labels[category.name] for category in split.categories], dtype=np.int64)
        relabelled = MergedSplit(split, context.task().categories, table)
        entries = [known[look_at(split.path_of(index)).digest] for index in range(len(split))]
        new, in_all = _keep(context, review, relabelled, entries)
    report = [*report, *(["What is odd:", *findings.lines()] if list(findings.lines()) else [])]
    return Taken(
        images=len(entries),
        sent=len(record["images"]),
        new=new,
        in_all=in_all,
        folder=context.paths.reviews,
        report=report,
    )


def _record_of(context: Context, review: Path) -> dict[str, Any]:
    """What was sent."""
    remedy = f"Name the folder that `{program()} review {context.benchmark} --worst` has written with --folder."
    if not (review / REVIEW).is_file():
        raise DatasetDMError(f"{review} is no review: it has no {REVIEW}. {remedy}")
    record = read_json(review / REVIEW, remedy=remedy)
    try:
        whose, task, images = record["benchmark"], record["task"], record["images"]
        complete = all({"set", "image", "file", "sha256"} <= set(image) for image in images)
    except (KeyError, TypeError):
        complete = False
    if not complete:
        raise DatasetDMError(f"{review / REVIEW} is damaged. Send the images again, into another folder.")
    if whose != context.benchmark or task != context.settings.task.name:
        raise DatasetDMError(
            f"{review} is a review of {whose} ({task}), not of {context.benchmark} ({context.settings.task.name})."
        )
    return dict(record)


def _request(record: Mapping[str, Any], review: Path, paths: Sequence[Path], cache: Path) -> exports.Request:
    """What the importers are asked; where an export has no image files, those that were sent do."""
    alone = not any(is_image(file) for path in paths for file in (walk(path) if path.is_dir() else (path,)))
    sent = sorted({(review / image["file"]).parent for image in record["images"]})
    return exports.Request(
        paths=tuple(paths),
        images=tuple(sent) if alone else (),
        task=record["task"] if record["task"] in ("instance", "pose") else None,
        depth_scale=record["details"].get("units_per_metre"),
        cache=cache,
    )


def _check_kind(contents: Contents, record: Mapping[str, Any], findings: Findings) -> None:
    if contents.task != record["task"]:
        findings.problem(
            f"{contents.root} holds annotations for the task '{contents.task}', and '{record['task']}' was sent: "
            "export it from the labelling tool in the format that README.md of the review names."
        )
    if not contents.pictures:
        findings.problem(f"{contents.root} has no image that can be used.")
    bare = sum(s.segmentation is None and not s.crowd for p in contents.pictures for s in p.shapes)
    if contents.task == "instance" and bare:
        findings.problem(f"{bare} objects have a box but no mask: draw their outlines in the labelling tool.")


def _known(
    contents: Contents, record: Mapping[str, Any], review: Path, findings: Findings
) -> dict[str, Mapping[str, Any]]:
    """Digest of each picture's file -> its entry in the record: of the same content, or else of the same name."""
    by_content = {image["sha256"]: image for image in record["images"]}
    by_name = {normal(Path(image["file"]).name): image for image in record["images"]}
    known: dict[str, Mapping[str, Any]] = {}
    strange, changed = [], []
    for picture in contents.pictures:
        look = look_at(picture.file)
        entry = by_content.get(look.digest) or by_name.get(normal(picture.file.name))
        if entry is None:
            strange.append(picture.name)
        else:
            known[look.digest] = entry
            sent = look_at(review / entry["file"])
            if sent.digest != entry["sha256"] or sent.size != look.size:
                changed.append(picture.name)
    if changed:
        findings.problem(
            f"{len(changed)} images have changed since they were sent, here or in {review} ({_some(changed)}): labels "
            "belong to the pixels that they were drawn on. Send the images again, and correct those."
        )
    if strange:
        findings.problem(
            f"{len(strange)} images are none of those that were sent ({_some(strange)}): leave them out, or name the "
            "folder of their review with --folder."
        )
    counts = Counter(str(entry["file"]) for entry in known.values())
    if twice := [name for name, count in counts.items() if count > 1]:
        findings.problem(f"{len(twice)} images are labelled more than once ({_some(twice)}): keep the right ones.")
    return known


def _check_categories(contents: Contents, context: Context, findings: Findings) -> dict[str, int]:
    """Category of the export -> the benchmark's label; 0 for those that nothing has."""
    task = context.task()
    if not context.settings.task.finds_categories:
        return {category.name: 0 for category in contents.categories}
    labels = {_plain(category): label for label, category in enumerate(task.categories)}
    used = {shape.label for picture in contents.pictures for shape in picture.shapes}
    maps = any(picture.annotation is not None for picture in contents.pictures)
    if maps:  # of a benchmark that labels every pixel, nothing is known where the export has background
        labels.setdefault(BACKGROUND, IGNORE)
    unknown = [
        category.name
        for category in contents.categories
        if _plain(category) not in labels and (maps or category.name in used)
    ]
    if unknown:
        known = ", ".join(category.name for category in task.categories[:_SHOWN])
        findings.problem(
            f"The categories {_some(unknown)} are none of {context.benchmark} ({known}"
            f"{', ...' if len(task.categories) > _SHOWN else ''}): rename them in the labelling tool."
        )
    return {category.name: labels.get(_plain(category), 0) for category in contents.categories}


def _check_nothing_lost(findings: Findings) -> None:
    images, objects = findings.lost("image"), findings.lost("object")
    if images or objects:
        findings.problem(
            f"{images} images and {objects} objects cannot be used; the reasons are below. Correct them, or take the "
            "rest with --keep-going."
        )


def _keep(context: Context, review: Path, split: MergedSplit, entries: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Add samples to those that are kept; returns how many are new, and how many there are now."""
    folder, files = context.paths.reviews, standard_format(*context.task().kind)
    before = files.load(folder, SUBSET) if has_reviewed(folder) else ()
    origins = dict(read_json(folder / ORIGINS, remedy=_again(folder))) if has_reviewed(folder) else {}
    known = set(origins)
    names = [_name(entry) for entry in entries]
    origins |= {
        name: {"set": entry["set"], "image": entry["image"]} for name, entry in zip(names, entries, strict=True)
    }
    positions = {name: position for position, name in enumerate(names)}
    kept = {sample.name: position for position, sample in enumerate(before) if sample.name not in positions}
    order = sorted(origins)
    remove_leftovers(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing(folder) as temporary:
        temporary.mkdir()

        def samples() -> Iterator[Sample]:
            for number, name in enumerate(order, 1):
                if name in positions:
                    entry = entries[positions[name]]
                    shutil.copyfile(review / entry["file"], _made(temporary / "images") / name)
                    yield _sample(split, positions[name], entry, name, number)
                else:
                    link(folder / "images" / name, temporary / "images" / name)
                    yield replace(before[kept[name]], image_id=number)

        files.save(temporary, SUBSET, samples())
        files.check(temporary, SUBSET)
        write_json(temporary / ORIGINS, {name: origins[name] for name in order})
    return len(set(names) - known), len(order)


def _sample(split: MergedSplit, position: int, entry: Mapping[str, Any], name: str, number: int) -> Sample:
    sample = split[position]
    return replace(
        sample,
        name=name,
        caption=entry.get("caption", ""),
        image_id=number,
        attribution=tuple(Attribution(**part) for part in entry.get("attribution", ())),
    )


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _name(entry: Mapping[str, Any]) -> str:
    """A name that no image of another set has, without folders."""
    stem = str(Path(entry["image"]).with_suffix("")).replace("/", "_")
    return f"reviewed_{entry['set']}_{stem}{Path(entry['file']).suffix}"


def _again(folder: Path) -> str:
    return f"Restore {folder}, or move it away and take back all corrected labels again."


def _plain(category: Category) -> str:
    return normal(category.noun)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")

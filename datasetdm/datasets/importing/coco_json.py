"""COCO JSON: as COCO publishes it, and as Roboflow, CVAT, Label Studio and FiftyOne export it.

They differ in where the files lie, how images are named and where categories begin to count:

- Roboflow: `train/`, `valid/` and `test/`, each with `_annotations.coco.json` next to the images;
- CVAT: `annotations/instances_default.json` and `images/`; painted masks have `iscrowd: 1`;
- Label Studio: `result.json` and `images/`; names such as `images\\\\1.jpg` or paths of its server; ids from 0;
- FiftyOne: `labels.json` and `data/`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datasetdm.annotations.sample import Category
from datasetdm.datasets.importing.contents import Contents, Picture, Shape
from datasetdm.datasets.importing.files import ImageIndex, subset_of, walk
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.importing.keypoints import KeypointOrder
from datasetdm.datasets.standard.attribution import AttributionReader
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json

_REMEDY = "Export it again from the labelling tool, in the format COCO."
_HEAD = 1 << 16  # bytes that tell what a JSON file is
_KEYS = ('"images"', '"annotations"', '"categories"', '"info"', '"licenses"')


@dataclass
class _File:
    """A JSON file whose kind is known: `objects`, `poses`, `captions` or something else."""

    path: Path
    content: dict[str, Any]
    kind: str


@dataclass
class _Reading:
    """What is collected over all files of an export."""

    findings: Findings
    index: ImageIndex
    root: Path
    categories: dict[str, Category] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    captions: dict[str, tuple[str, ...]] = field(default_factory=dict)


def json_files(path: Path) -> list[Path]:
    """The files in COCO's format: the path itself, or those below a folder."""
    files = [path] if path.is_file() else [file for file in walk(path) if file.suffix.lower() == ".json"]
    return [file for file in files if _looks_like_coco(file)]


def describe(files: Sequence[Path]) -> str:
    """Whose export it is, by the names of its files."""
    names = {file.name for file in files}
    if "_annotations.coco.json" in names:
        return f"COCO JSON as Roboflow exports it ({', '.join(sorted(file.parent.name for file in files))})"
    if any(name.endswith("_default.json") for name in names):
        return "COCO JSON as CVAT exports it"
    if "result.json" in names and any((file.parent / "images").is_dir() for file in files):
        return "COCO JSON as Label Studio exports it"
    if "labels.json" in names and any((file.parent / "data").is_dir() for file in files):
        return "COCO JSON as FiftyOne exports it"
    return f"COCO JSON ({', '.join(sorted(names)[:4])}{', ...' if len(names) > 4 else ''})"


def read_coco(
    files: Sequence[Path], root: Path, images: Sequence[Path], task: str | None, findings: Findings
) -> Contents:
    """Read COCO JSON files as one data set; categories are the same if their names are.

    Args:
        files: the JSON files.
        root: the folder that was imported.
        images: further folders with the images.
        task: `instance` or `pose`; None: what the files hold, and objects if they hold both.
        findings: takes what is odd.
    """
    opened = list(_opened(files, findings))
    kinds = {file.kind for file in opened}
    if task is None:
        task = "pose" if "poses" in kinds and "objects" not in kinds else "instance"
    wanted = "poses" if task == "pose" and "poses" in kinds else "objects"
    if wanted == "objects" and "objects" not in kinds:
        wanted = "poses"  # keypoint files have masks, too
    folders = [*dict.fromkeys([*(_image_root(file, root) for file in files), *images])]
    reading = _Reading(findings=findings, index=ImageIndex(folders), root=root)
    for file in opened:
        if file.kind == "captions":
            _read_captions(file, reading)
    for file in opened:
        if file.kind == wanted:
            _read_file(file, reading, task)
    if not any(file.kind == wanted for file in opened):
        findings.problem(f"{root} has no COCO JSON with annotated objects. {_REMEDY}")
    categories = tuple(sorted(reading.categories.values(), key=lambda category: category.id))
    return Contents(task=task, categories=categories, pictures=tuple(reading.pictures), root=root)


def _looks_like_coco(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD).decode("utf-8", errors="ignore")
    except OSError:
        return False
    return any(key in head for key in _KEYS) and '"shapes"' not in head and '"segments_info"' not in head


def _image_root(file: Path, root: Path) -> Path:
    """Where images may lie: the imported folder, or around a file that was named itself."""
    if root.is_dir():
        return root
    return file.parent.parent if file.parent.name == "annotations" else file.parent


def _opened(files: Sequence[Path], findings: Findings) -> Iterator[_File]:
    for path in files:
        try:
            content = read_json(path, remedy=_REMEDY)
        except DatasetDMError as error:
            findings.problem(str(error))
            continue
        if not isinstance(content, dict) or not isinstance(content.get("images"), list):
            if len(files) == 1:
                findings.problem(f"{path} is JSON, but has no list of 'images' as COCO has. {_REMEDY}")
            findings.odd("JSON files are not in COCO's format: passed over", path.name)
        elif len(files) > 1 and not content.get("annotations"):
            findings.odd("JSON files have no annotation, such as lists of test images: passed over", path.name)
        else:
            yield _File(path, content, _kind(content))


def _kind(content: Mapping[str, Any]) -> str:
    annotations = _records(content, "annotations")[:50]
    if annotations and all("caption" in record for record in annotations):
        return "captions"
    if annotations and all("segments_info" in record for record in annotations):
        return "panoptic"
    poses = any("keypoints" in record for record in annotations)
    return "poses" if poses and any("keypoints" in record for record in _records(content, "categories")) else "objects"


def _read_captions(file: _File, reading: _Reading) -> None:
    names = {_key(record.get("id")): record.get("file_name") for record in _records(file.content, "images")}
    for record in _records(file.content, "annotations"):
        name, text = names.get(_key(record.get("image_id"))), record.get("caption")
        if isinstance(name, str) and isinstance(text, str) and text.strip():
            reading.captions[name] = (*reading.captions.get(name, ()), " ".join(text.split()))


def _read_file(file: _File, reading: _Reading, task: str) -> None:
    findings = reading.findings
    names = _category_names(file, reading)
    orders = {
        _key(record.get("id")): KeypointOrder.of(record, file.path, findings)
        for record in _records(file.content, "categories")
        if task == "pose" and isinstance(record.get("keypoints"), list) and record["keypoints"]
    }
    images = {_key(record.get("id")): record for record in _records(file.content, "images")}
    shapes: dict[str, list[Shape]] = {key: [] for key in images}
    for number, record in enumerate(_records(file.content, "annotations"), 1):
        where = f"{file.path.name}: annotation {record.get('id', f'number {number}')}"
        key, category = _key(record.get("image_id")), _key(record.get("category_id"))
        if key not in images:
            findings.odd("objects belong to an image that is not listed: left out", where, lost="object")
        elif category not in names:
            findings.odd("objects have a category that is not listed: left out", where, lost="object")
        elif task == "pose" and category not in orders:
            findings.odd("objects have a category without keypoints: left out", where)
        else:
            shapes[key].append(_shape(record, names[category], orders.get(category), where, findings))
    attribution = AttributionReader(file.content)
    for key, record in images.items():
        picture = _picture(file, record, tuple(shapes[key]), attribution, reading)
        if picture is not None:
            reading.pictures.append(picture)
    _report_twice(file, findings)


def _category_names(file: _File, reading: _Reading) -> dict[str, str]:
    """Name of each category by its id; new names join the data set's categories, with their id if that is free."""
    names: dict[str, str] = {}
    for record in _records(file.content, "categories"):
        identity, name = record.get("id"), " ".join(str(record.get("name", "")).split())
        if not name:
            reading.findings.odd("categories have no name: left out", f"{file.path.name}: id {identity}")
            continue
        names[_key(identity)] = name
        if name not in reading.categories:
            used = {category.id for category in reading.categories.values()}
            free = isinstance(identity, int) and identity >= 0 and identity not in used
            number: int = identity if free else max(used, default=0) + 1  # type: ignore[assignment]
            kind = record.get("supercategory")
            reading.categories[name] = Category(
                id=number,
                name=name,
                supercategory=kind if isinstance(kind, str) and kind.isprintable() else "",
            )
    return names


def _picture(
    file: _File, record: Mapping[str, Any], shapes: tuple[Shape, ...], attribution: AttributionReader, reading: _Reading
) -> Picture | None:
    name = record.get("file_name")
    if not isinstance(name, str) or not name.strip():
        reading.findings.odd("image records have no 'file_name': left out", f"{file.path.name}", lost="image")
        return None
    found = reading.index.find(name, file.path)
    if len(found) != 1:
        what = "are listed but missing" if not found else "have a name that fits several files"
        reading.findings.odd(f"images {what}: left out", name, lost="image")
        return None
    width, height = record.get("width"), record.get("height")
    known = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
    size = (int(height), int(width)) if known else None  # type: ignore[arg-type]
    own = record.get("caption")
    return Picture(
        file=found[0],
        name=name,
        shapes=shapes,
        size=size,
        subset=subset_of(file.path, reading.root) or subset_of(found[0], reading.root),
        captions=reading.captions.get(name, (own,) if isinstance(own, str) and own.strip() else ()),
        attribution=attribution.of(record),
    )


def _shape(record: Mapping[str, Any], label: str, order: KeypointOrder | None, where: str, findings: Findings) -> Shape:
    crowd = record.get("iscrowd") in (1, True)
    if crowd and isinstance(record.get("attributes"), dict):  # CVAT's and Datumaro's key
        findings.odd("masks were painted in CVAT, which marks them as crowds: taken as objects", where)
        crowd = False
    return Shape(
        label=label,
        segmentation=record.get("segmentation") or None,
        box=record.get("bbox") or None,
        crowd=crowd,
        keypoints=None if order is None else order.sorted(record.get("keypoints"), where, findings),
    )


def _report_twice(file: _File, findings: Findings) -> None:
    """Two records of one id are one image to every reader: the second has taken the place of the first."""
    counts = Counter(_key(record.get("id")) for record in _records(file.content, "images"))
    for key, count in counts.items():
        if count > 1:
            findings.problem(f"{file.path}: {count} images have the id {key}. Renumber them, or export the set again.")


def _records(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    values = content.get(key)
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _key(identity: Any) -> str:
    """Ids are whole numbers in COCO; some exports write them as texts, and mix both."""
    return str(identity)

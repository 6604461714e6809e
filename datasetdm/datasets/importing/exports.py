"""The layouts of exports: how each is recognised, and who reads it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from datasetdm.annotations.sample import Category
from datasetdm.datasets.importing import coco_json, labelme, voc, yolo
from datasetdm.datasets.importing.contents import Contents
from datasetdm.datasets.importing.depth_maps import DEPTHS, read_depth_folder
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.importing.index_masks import MASKS, read_index_masks
from datasetdm.datasets.importing.pairs import has_pairs
from datasetdm.errors import DatasetDMError

_KINDS = 5  # of files to tell the user of


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user gave.

    Attributes:
        paths: folders or files of the export; several COCO files are one data set.
        images: further folders with images.
        val: a COCO file whose images are held out; None: see `splitting`.
        task: `instance` or `pose` where an export holds both; None: what it holds.
        classes: a list of categories for index masks.
        depth_scale: numbers per metre of depth maps; None: guess.
        scene: what images with depth maps show.
        cache: a folder for images that lie in annotation files; `import_data` sets it.
    """

    paths: tuple[Path, ...]
    images: tuple[Path, ...] = ()
    val: Path | None = None
    task: str | None = None
    classes: Path | None = None
    depth_scale: float | None = None
    scene: str = "room"
    cache: Path = Path()


@dataclass(frozen=True, kw_only=True)
class Export:
    """A layout.

    Attributes:
        title: what people call it.
        found: says what was recognised in a folder or file; empty if it is not of this layout.
        read: reads it.
    """

    title: str
    found: Callable[[Path], str]
    read: Callable[[Path, Request, Findings], Contents]


#: In the order in which they are looked for: folders of fixed names first, loose files last.
EXPORTS: dict[str, Export] = {
    "voc": Export(
        title="PASCAL VOC: JPEGImages/ and SegmentationClass/",
        found=lambda path: "VOC's folders JPEGImages and SegmentationClass" if voc.has_masks(path) else "",
        read=lambda path, ask, findings: voc.read_voc_masks(path, ask.classes, findings),
    ),
    "yolo": Export(
        title="YOLO: data.yaml, images and text files with normalised polygons, boxes or keypoints",
        found=lambda path: _found_yolo(path),
        read=lambda path, ask, findings: yolo.read_yolo(
            _required(yolo.description_file(path), path, "data.yaml"), path, ask.images, ask.task, findings
        ),
    ),
    "coco": Export(
        title="COCO JSON, also of Roboflow, CVAT, Label Studio and FiftyOne",
        found=lambda path: coco_json.describe(files) if (files := coco_json.json_files(path)) else "",
        read=lambda path, ask, findings: coco_json.read_coco(
            coco_json.json_files(path) or [path], path, ask.images, ask.task, findings
        ),
    ),
    "labelme": Export(
        title="labelme: a JSON file per image",
        found=lambda path: f"{len(files)} files of labelme" if (files := labelme.json_files(path)) else "",
        read=lambda path, ask, findings: labelme.read_labelme(
            labelme.json_files(path), path, ask.images, ask.cache, findings
        ),
    ),
    "voc_boxes": Export(
        title="PASCAL VOC: an XML file with boxes per image, as LabelImg writes it",
        found=lambda path: f"{len(files)} XML files with boxes" if (files := voc.xml_files(path)) else "",
        read=lambda path, ask, findings: voc.read_voc_boxes(voc.xml_files(path), path, ask.images, findings),
    ),
    "depth": Export(
        title="images and depth maps (16-bit PNG or .npy)",
        found=lambda path: "images with depth maps" if has_pairs(path, DEPTHS) else "",
        read=lambda path, ask, findings: read_depth_folder(path, ask.images, ask.depth_scale, ask.scene, findings),
    ),
    "masks": Export(
        title="images and index masks (PNG)",
        found=lambda path: "images with index masks" if has_pairs(path, MASKS) else "",
        read=lambda path, ask, findings: read_index_masks(path, ask.images, ask.classes, findings),
    ),
}


def recognise(path: Path) -> tuple[str, str]:
    """The name of the layout of a folder or file, and what was found in it.

    Raises:
        DatasetDMError: there is nothing, or it is of no known layout.
    """
    if not path.exists():
        raise DatasetDMError(f"{path} does not exist. Name the folder or file that the labelling tool exported.")
    if path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"):
        raise DatasetDMError(f"{path} is an archive: unpack it, and import the folder.")
    for name, export in EXPORTS.items():
        if found := export.found(path):
            return name, found
    files = _files_by_kind(path)
    if not files:
        raise DatasetDMError(f"{path} has no files. Name the folder or file that the labelling tool exported.")
    known = "\n".join(f"  {name:<10} {export.title}" for name, export in EXPORTS.items())
    raise DatasetDMError(
        f"{path} is of no layout that can be recognised; it has {files}. Choose a layout with --format, or bring the "
        f"export into one of these:\n{known}"
    )


def _files_by_kind(path: Path) -> str:
    """`30 .jpg, 1 .json`: what a user needs to see that labels are missing, or that it is another folder."""
    files = (file for file in path.rglob("*") if file.is_file()) if path.is_dir() else iter([path])
    kinds = Counter(file.suffix.lower() or "without a suffix" for file in files)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(_KINDS))


def read(request: Request, layout: str | None, findings: Findings) -> tuple[Contents, list[str]]:
    """Read an export.

    Returns:
        Its contents, and a line per path that says what it was taken for.

    Raises:
        DatasetDMError: a path is of no known layout, or the paths hold different kinds of annotation.
    """
    parts, lines = [], []
    for path in request.paths:
        name, found = (layout, EXPORTS[layout].found(path)) if layout else recognise(path)
        lines.append(f"{path}: {found or EXPORTS[name].title}")
        parts.append(EXPORTS[name].read(path, request, findings))
    if request.val is not None:
        name, found = (layout, "") if layout else recognise(request.val)
        lines.append(f"{request.val}: {found or EXPORTS[name].title}, held out for validation")
        held_out = EXPORTS[name].read(request.val, request, findings)
        parts = [_on_side(part, "train") for part in parts] + [_on_side(held_out, "val")]
    return _joined(parts), lines


def _joined(parts: Sequence[Contents]) -> Contents:
    """Several exports as one; categories are the same if their names are."""
    first, *others = parts
    if {part.task for part in parts} != {first.task}:
        kinds = ", ".join(f"{part.root}: {part.task}" for part in parts)
        raise DatasetDMError(f"The paths hold different kinds of annotation ({kinds}): import them one by one.")
    if others and first.task == "semantic":
        raise DatasetDMError("Index masks are imported from one folder at a time: put them into one.")
    categories = {category.name: category for category in first.categories}
    for category in (category for part in others for category in part.categories):
        if category.name not in categories:
            used = {known.id for known in categories.values()}
            free = category.id if category.id not in used else max(used) + 1
            categories[category.name] = replace(category, id=free)
    return replace(
        first,
        categories=tuple(sorted(categories.values(), key=_by_id)),
        pictures=tuple(picture for part in parts for picture in part.pictures),
    )


def _by_id(category: Category) -> int:
    return category.id


def _on_side(contents: Contents, subset: str) -> Contents:
    pictures = tuple(replace(picture, subset=subset) for picture in contents.pictures)  # type: ignore[arg-type]
    return replace(contents, pictures=pictures)


def _found_yolo(path: Path) -> str:
    file = yolo.description_file(path) if path.exists() else None
    return f"YOLO, described by {file.name}" if file else ""


def _required(file: Path | None, path: Path, name: str) -> Path:
    if file is None:
        raise DatasetDMError(f"{path} has no {name}, which names the categories. Export it again, or write one.")
    return file

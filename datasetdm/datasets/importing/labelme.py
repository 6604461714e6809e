"""labelme: one JSON file per image, with polygons, rectangles, circles and painted masks.

The image lies next to the file, or in the file itself (`imageData`, base64). labelme turns photos upright before it
shows and stores them, so that its points are those of the upright image.
"""

import base64
import binascii
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasetdm.datasets.importing.contents import Contents, Picture, Shape, numbered
from datasetdm.datasets.importing.files import ImageIndex, look_at, subset_of, walk
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.standard.masks import encode_mask
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json, write_bytes
from datasetdm.utils.images import read_image

_REMEDY = "Save it again in labelme, or take it out of the folder."
_HEAD = 1 << 12
_CIRCLE = 64  # corners of the polygon that stands for a circle
_VOIDS = ("__ignore__", "_background_")
Size = tuple[int, int]  # (height, width)


def json_files(path: Path) -> list[Path]:
    """The files that labelme wrote: the path itself, or those below a folder."""
    files = [path] if path.is_file() else [file for file in walk(path) if file.suffix.lower() == ".json"]
    return [file for file in files if _looks_like_labelme(file)]


def read_labelme(
    files: Sequence[Path], root: Path, images: Sequence[Path], cache: Path, findings: Findings
) -> Contents:
    """Read labelme's files.

    Args:
        files: the JSON files.
        root: the folder that was imported.
        images: further folders with the images.
        cache: folder for images that lie in the JSON files alone.
        findings: takes what is odd.
    """
    index = ImageIndex([root if root.is_dir() else root.parent, *images])
    pictures = [
        picture
        for number, file in enumerate(files)
        for picture in _read_file(file, number, root, index, cache, findings)
    ]
    labels = sorted({shape.label for picture in pictures for shape in picture.shapes})
    return Contents(task="instance", categories=numbered(labels), pictures=tuple(pictures), root=root)


def _looks_like_labelme(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return False
    return b'"shapes"' in head or (b'"version"' in head and b'"flags"' in head)


def _read_file(
    file: Path, number: int, root: Path, index: ImageIndex, cache: Path, findings: Findings
) -> Iterator[Picture]:
    try:
        content = read_json(file, remedy=_REMEDY)
    except DatasetDMError as error:
        findings.problem(str(error))
        return
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        findings.problem(f"{file} has no list of 'shapes', so it is not labelme's. {_REMEDY}")
        return
    image = _image(file, number, content, index, cache)
    if image is None:
        findings.odd("images are missing, and are not in labelme's file either: left out", file.name, lost="image")
        return
    height, width = content.get("imageHeight"), content.get("imageWidth")
    size = (height, width) if isinstance(height, int) and isinstance(width, int) else look_at(image).size
    yield Picture(
        file=image,
        name=str(content.get("imagePath") or image.name),
        shapes=tuple(_objects(content["shapes"], size or (0, 0), file, findings)),
        size=size,
        temporary=image.is_relative_to(cache),
        subset=subset_of(file.with_suffix(""), root),
    )


def _image(file: Path, number: int, content: Mapping[str, Any], index: ImageIndex, cache: Path) -> Path | None:
    """The image file: `imagePath`, one of the JSON file's name, or a copy of what the JSON file holds."""
    name = content.get("imagePath")
    for candidate in (name, *(f"{file.stem}{suffix}" for suffix in (".jpg", ".jpeg", ".png"))):
        if isinstance(candidate, str) and len(found := index.find(candidate, file)) == 1:
            return found[0]
    data = content.get("imageData")
    if not isinstance(data, str):
        return None
    try:
        pixels = base64.b64decode(data, validate=False)
    except (binascii.Error, ValueError):
        return None
    suffix = ".png" if pixels.startswith(b"\x89PNG") else ".jpg"
    stored = cache / str(number) / f"{file.stem}{suffix}"
    write_bytes(stored, pixels)
    return stored


def _objects(records: Sequence[Any], size: tuple[int, int], file: Path, findings: Findings) -> Iterator[Shape]:
    """The shapes of a file; polygons with the same label and `group_id` are the parts of one object."""
    groups: defaultdict[tuple[str, Any], list[list[float]]] = defaultdict(list)
    for record in records:
        label = " ".join(str(record.get("label", "")).split()) if isinstance(record, dict) else ""
        if not label:
            findings.odd("shapes have no label: left out", file.name, lost="object")
            continue
        if label in _VOIDS:
            findings.odd(f"shapes are labelled {label}: left out", file.name)
            continue
        kind, points = record.get("shape_type", "polygon"), _points(record.get("points"))
        if points is None:
            findings.odd("shapes have points that are not pairs of numbers: left out", file.name, lost="object")
        elif kind == "polygon" and record.get("group_id") is not None:
            groups[label, record["group_id"]].append([value for point in points for value in point])
        elif kind in _SHAPES:
            yield _SHAPES[kind](label, points, record, size)
        else:
            findings.odd(f"shapes are of the kind {kind}, which covers no area: left out", file.name)
    for (label, _), polygons in groups.items():
        yield Shape(label=label, segmentation=polygons)


def _points(value: Any) -> list[list[float]] | None:
    if not isinstance(value, list):
        return None
    pairs = [point for point in value if isinstance(point, list) and len(point) == 2]
    numbers = all(type(number) in (int, float) and math.isfinite(number) for point in pairs for number in point)
    return pairs if numbers and len(pairs) == len(value) and pairs else None


def _polygon(label: str, points: list[list[float]], record: Mapping[str, Any], size: Size) -> Shape:
    return Shape(label=label, segmentation=[[value for point in points for value in point]])


def _rectangle(label: str, points: list[list[float]], record: Mapping[str, Any], size: Size) -> Shape:
    """A box: labelme stores two opposite corners, or, since version 6, all four."""
    (left, top), (right, bottom) = np.min(points, axis=0).tolist(), np.max(points, axis=0).tolist()
    return Shape(label=label, box=(left, top, right - left, bottom - top))


def _circle(label: str, points: list[list[float]], record: Mapping[str, Any], size: Size) -> Shape:
    """The centre and a point on the circle."""
    (x, y), *others = points
    radius = math.dist((x, y), others[0]) if others else 0.0
    angles = np.linspace(0, 2 * np.pi, _CIRCLE, endpoint=False)
    corners = np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])
    return Shape(label=label, segmentation=[corners.ravel().tolist()])


def _mask(label: str, points: list[list[float]], record: Mapping[str, Any], size: Size) -> Shape:
    """A painted mask: a PNG in base64 whose upper left corner is the first point."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "mask.png"
            file.write_bytes(base64.b64decode(record["mask"]))
            part = read_image(file)[..., 0] > 0
    except (KeyError, TypeError, ValueError, DatasetDMError):
        return Shape(label=label)
    left, top = (max(0, round(value)) for value in points[0])
    whole = np.zeros(size, dtype=bool)
    within = whole[top : top + part.shape[0], left : left + part.shape[1]]
    within[:] = part[: within.shape[0], : within.shape[1]]
    return Shape(label=label, segmentation=encode_mask(whole))


_SHAPES = {"polygon": _polygon, "rectangle": _rectangle, "circle": _circle, "mask": _mask}

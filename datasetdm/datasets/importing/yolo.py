"""YOLO, as ultralytics, Roboflow, CVAT and Label Studio export it: a text file of normalised numbers per image.

`data.yaml` names the categories (`names`: a list, or numbers with names) and, for poses, the shape of the keypoints
(`kpt_shape`). The label of `images/train/a.jpg` or `train/images/a.jpg` is `labels/train/a.txt` or
`train/labels/a.txt`; a line is `category x y x y ...` (a polygon), `category x y w h` (a box) or a box with keypoints.
The paths in `data.yaml` are those of another machine more often than not, so that they are not followed.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from datasetdm.annotations.persons import KEYPOINTS
from datasetdm.annotations.sample import Category
from datasetdm.datasets.importing.contents import Contents, Picture, Shape, Subset
from datasetdm.datasets.importing.files import is_image, subset_of, walk
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.importing.keypoints import KeypointOrder

_NAMES_REMEDY = "`names` has to list the categories: `names: [cat, dog]`, or `names: {0: cat, 1: dog}`."
_LARGEST = 2.0  # a fraction of a side; beyond that the numbers are pixels


@dataclass(frozen=True)
class _Description:
    """What `data.yaml` says: the file, the names by number, and the keypoints, if there are any."""

    file: Path
    names: Mapping[int, str]
    order: KeypointOrder | None


def description_file(root: Path) -> Path | None:
    """The `data.yaml` of a folder, by whatever name; CVAT also writes `obj.names`, and Label Studio `classes.txt`."""
    if not root.is_dir():
        return root if root.suffix.lower() in (".yaml", ".yml") else None
    files = [
        file for folder in (root, *sorted(filter(Path.is_dir, root.iterdir()))) for file in sorted(folder.iterdir())
    ]
    described = [file for file in files if file.suffix.lower() in (".yaml", ".yml") and b"names" in file.read_bytes()]
    if described:
        return described[0]
    listed = [file for file in files if file.name == "obj.names" or (file.name == "classes.txt" and _has_labels(root))]
    return listed[0] if listed else None


def read_yolo(file: Path, root: Path, images: Sequence[Path], task: str | None, findings: Findings) -> Contents:
    """Read a YOLO folder.

    Args:
        file: `data.yaml`, or a list of names.
        root: the folder that was imported.
        images: further folders with the images.
        task: `instance` or `pose`; None: what `data.yaml` describes.
        findings: takes what is odd.
    """
    folder = root if root.is_dir() else root.parent
    described = _read_description(file, findings)
    poses = described.order is not None and task != "instance"
    listed = _listed_subsets(folder)
    pictures = []
    for image in dict.fromkeys(path for place in (folder, *images) for path in walk(place) if is_image(path)):
        label = _label_file(image, folder)
        if label is None:
            findings.odd("images have no label file: taken as images without objects", image.name)
        pictures.append(
            Picture(
                file=image,
                name=image.relative_to(folder).as_posix() if image.is_relative_to(folder) else image.name,
                shapes=() if label is None else tuple(_read_labels(label, described, poses, findings)),
                subset=subset_of(image, folder) or listed.get(image.name),
            )
        )
    if pictures and findings.count("images have no label file: taken as images without objects") == len(pictures):
        findings.problem(f"{folder} has {len(pictures)} images, but no label file (.txt) belongs to any of them.")
    categories = tuple(Category(id=number, name=name) for number, name in sorted(described.names.items()))
    return Contents(task="pose" if poses else "instance", categories=categories, pictures=tuple(pictures), root=root)


def _has_labels(root: Path) -> bool:
    return any(next(root.glob(f"{below}labels/{inside}*.txt"), None) for below in ("", "*/") for inside in ("", "*/"))


def _read_description(file: Path, findings: Findings) -> _Description:
    if file.suffix.lower() not in (".yaml", ".yml"):
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
        return _Description(file, dict(enumerate(line for line in lines if line)), None)
    try:
        content = YAML(typ="safe", pure=True).load(file.read_bytes())
    except (OSError, YAMLError, ValueError) as error:
        findings.problem(f"{file} is not valid YAML ({' '.join(str(error).split())[:200]}). {_NAMES_REMEDY}")
        content = {}
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(str(key).isdecimal() for key in names):
        findings.problem(f"{file} does not name the categories. {_NAMES_REMEDY}")
        names = {}
    return _Description(
        file, {int(key): " ".join(str(name).split()) for key, name in names.items()}, _order(file, content, findings)
    )


def _order(file: Path, content: Any, findings: Findings) -> KeypointOrder | None:
    """The keypoints of `kpt_shape: [17, 3]`; `kpt_names`, where they are there, say which is which."""
    shape = content.get("kpt_shape") if isinstance(content, dict) else None
    if shape is None:
        return None
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(value, int) for value in shape)):
        findings.problem(f"{file}: kpt_shape has to be [keypoints, 2 or 3], such as [17, 3].")
        return None
    count, dimensions = shape
    names = content.get("kpt_names")
    if isinstance(names, dict):
        names = next(iter(names.values()), None)
    if isinstance(names, list) and len(names) == count:
        order = KeypointOrder.named([str(name) for name in names], file, findings)
        return KeypointOrder(positions=order.positions, count=count, dimensions=dimensions)
    if count != len(KEYPOINTS):
        findings.problem(
            f"{file}: kpt_shape says {count} keypoints. The project trains poses of people with COCO's "
            f"{len(KEYPOINTS)}: name yours in `kpt_names`, those in common are used; or import the boxes or masks "
            "alone with --task instance."
        )
    return KeypointOrder(positions=tuple(range(len(KEYPOINTS))), count=count, dimensions=dimensions)


def _listed_subsets(folder: Path) -> dict[str, Subset]:
    """Side of the split by image name, out of `train.txt` and `val.txt`, lists of images that darknet began with."""
    found: dict[str, Subset] = {}
    for file in sorted(folder.glob("*.txt")):
        words: dict[str, Subset] = {"train": "train", "val": "val", "valid": "val", "test": "val"}
        subset = words.get(file.stem.lower())
        if subset:
            lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            found |= {line.strip().replace("\\", "/").rpartition("/")[2]: subset for line in lines}
    return found


def _label_file(image: Path, root: Path) -> Path | None:
    """`labels/.../a.txt` of `images/.../a.jpg`, or `a.txt` next to the image."""
    candidates = [image.with_suffix(".txt")]
    parts = list(image.parts)
    depth = len(root.parts) if image.is_relative_to(root) else 0
    for position in range(len(parts) - 2, depth - 1, -1):
        if parts[position].lower() == "images":
            moved = Path(*parts[:position], "labels", *parts[position + 1 :])
            candidates.insert(0, moved.with_suffix(".txt"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _read_labels(file: Path, described: _Description, poses: bool, findings: Findings) -> Iterator[Shape]:
    for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{file.name}, line {number}"
        try:
            category, *values = [float(value) for value in line.split()]
            if not all(map(math.isfinite, (category, *values))):
                raise ValueError
        except ValueError:
            findings.odd("lines are not numbers: left out", where, lost="object")
            continue
        if int(category) not in described.names or category != int(category):
            findings.odd("objects have a category that is not listed: left out", where, lost="object")
        elif max(values, default=0) > _LARGEST or min(values, default=0) < 1 - _LARGEST:
            findings.odd("objects have coordinates in pixels instead of fractions: left out", where, lost="object")
        else:
            yield from _shape(described.names[int(category)], values, described, poses, where, findings)


def _shape(
    label: str, values: list[float], described: _Description, poses: bool, where: str, findings: Findings
) -> Iterator[Shape]:
    order = described.order
    if order is not None and len(values) == 4 + order.count * order.dimensions:
        points = order.sorted(values[4:], where, findings) if poses else None
        yield Shape(label=label, box=_corner(values[:4]), keypoints=points, normalised=True)
    elif len(values) == 4:
        yield Shape(label=label, box=_corner(values), normalised=True)
    elif len(values) >= 6 and len(values) % 2 == 0:
        yield Shape(label=label, segmentation=[values], normalised=True)
    else:
        findings.odd(f"lines have {len(values)} numbers, neither a box nor a polygon: left out", where, lost="object")


def _corner(box: Sequence[float]) -> tuple[float, float, float, float]:
    """x, y, width, height from the corner, of YOLO's from the centre."""
    x, y, width, height = box
    return x - width / 2, y - height / 2, width, height

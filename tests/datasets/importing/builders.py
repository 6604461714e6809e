"""Writes the same labelled pictures as each labelling tool exports them."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


@dataclass
class Labelled:
    """A picture and its polygons with categories."""

    name: str
    file: Path
    polygons: list[tuple[str, list[float]]] = field(default_factory=list)

    @property
    def size(self) -> tuple[int, int]:
        with Image.open(self.file) as image:
            return image.height, image.width


NAMES = ("cat", "traffic light", "dog")


def ids_of(items: Sequence[Labelled], first: int = 3, step: int = 4) -> dict[str, int]:
    """The category names of the pictures with ids."""
    names = sorted({label for item in items for label, _ in item.polygons})
    return {name: first + step * number for number, name in enumerate(names)}


def pictures(folder: Path, count: int = 10, *, suffix: str = ".png") -> list[Labelled]:
    """Pictures of random pixels; each shows one or two rectangles with a corner cut off."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, found = np.random.default_rng(0), []
    names = NAMES
    for number in range(count):
        file = folder / f"photo {number} é{suffix}"
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(file)
        left, top = (float(value) for value in rng.integers(1, 8, 2))
        shape = [left, top, left + 10, top, left + 10, top + 9, left + 4, top + 9, left, top + 5]
        other = [value + 12.5 for value in shape]
        polygons = [(names[number % 3], shape)] + ([(names[(number + 1) % 3], other)] if number % 2 else [])
        found.append(Labelled(file.name, file, polygons))
    return found


def coco(
    items: Sequence[Labelled],
    ids: Mapping[str, Any] | None = None,
    name_of: Callable[[Labelled], str] = lambda item: item.name,
    **extra: Any,
) -> dict[str, Any]:
    """COCO JSON; `extra` goes into every annotation."""
    ids = ids_of(items) if ids is None else ids
    images, annotations = [], []
    for image_id, item in enumerate(items):
        height, width = item.size
        images.append({"id": image_id, "file_name": name_of(item), "height": height, "width": width})
        for label, polygon in item.polygons:
            x, y = polygon[0::2], polygon[1::2]
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": image_id,
                    "category_id": ids[label],
                    "segmentation": [polygon],
                    "bbox": [min(x), min(y), max(x) - min(x), max(y) - min(y)],
                    "area": 1.0,
                    "iscrowd": 0,
                    **extra,
                }
            )
    categories = [{"id": number, "name": name, "supercategory": ""} for name, number in ids.items()]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}


def put(item: Labelled, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(item.file.read_bytes())


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))


def roboflow(items: Sequence[Labelled], root: Path) -> None:
    """train/, valid/ and test/ with images and a JSON file each; a root category with id 0."""
    ids = {"animals": 0, **ids_of(items, first=1, step=1)}
    for folder, part in (("train", items[:-4]), ("valid", items[-4:-2]), ("test", items[-2:])):
        for item in part:
            put(item, root / folder / item.name)
        write(root / folder / "_annotations.coco.json", coco(part, ids))
    write(root / "README.dataset.txt", "from Roboflow")


def cvat(items: Sequence[Labelled], root: Path) -> None:
    """annotations/instances_default.json and images/."""
    for item in items:
        put(item, root / "images" / "default" / item.name)
    content = coco(items, attributes={"occluded": False})
    write(root / "annotations" / "instances_default.json", content)


def label_studio(items: Sequence[Labelled], root: Path) -> None:
    """result.json and images/; ids from 0, and names with Windows' slashes."""
    for item in items:
        put(item, root / "images" / item.name)
    ids = ids_of(items, first=0, step=1)
    write(root / "result.json", coco(items, ids, lambda item: f"images\\{item.name}"))


def fiftyone(items: Sequence[Labelled], root: Path) -> None:
    """data/ and labels.json, here with absolute paths of another machine."""
    for item in items:
        put(item, root / "data" / item.name)
    write(root / "labels.json", coco(items, name_of=lambda item: f"/home/someone/photos/data/{item.name}"))


def official(items: Sequence[Labelled], root: Path) -> None:
    """COCO's own folders."""
    for split, part in (("train", items[:-3]), ("val", items[-3:])):
        for item in part:
            put(item, root / f"{split}2017" / item.name)
        write(root / "annotations" / f"instances_{split}2017.json", coco(part, ids_of(items)))


def labelme(items: Sequence[Labelled], root: Path, *, embedded: bool = False) -> None:
    """A JSON file per image, next to it or with the image inside."""
    for item in items:
        if not embedded:
            put(item, root / item.name)
        height, width = item.size
        shapes = [
            {
                "label": label,
                "points": [list(point) for point in zip(polygon[0::2], polygon[1::2], strict=True)],
                "group_id": None,
                "shape_type": "polygon",
                "flags": {},
            }
            for label, polygon in item.polygons
        ]
        content = {
            "version": "5.4.1",
            "flags": {},
            "shapes": shapes,
            "imagePath": f"..\\photos\\{item.name}",
            "imageData": base64.b64encode(item.file.read_bytes()).decode() if embedded else None,
            "imageHeight": height,
            "imageWidth": width,
        }
        write(root / f"{Path(item.name).stem}.json", content)


def yolo(items: Sequence[Labelled], root: Path, *, roboflow_style: bool = False) -> None:
    """data.yaml, and a text file of normalised polygons per image."""
    names = list(ids_of(items))
    for split, part in (("train", items[:-3]), ("valid" if roboflow_style else "val", items[-3:])):
        for item in part:
            height, width = item.size
            lines = []
            for label, polygon in item.polygons:
                numbers = [repr(value / (height if position % 2 else width)) for position, value in enumerate(polygon)]
                lines.append(f"{names.index(label)} {' '.join(numbers)}\n")
            images, labels = (
                (f"{split}/images", f"{split}/labels") if roboflow_style else (f"images/{split}", f"labels/{split}")
            )
            put(item, root / images / item.name)
            write(root / labels / f"{Path(item.name).stem}.txt", "".join(lines))
    listed = f"names: {names}" if roboflow_style else "names:\n" + "".join(f"  {n}: {x}\n" for n, x in enumerate(names))
    write(root / "data.yaml", f"train: ../train/images\nval: ../valid/images\nnc: {len(names)}\n{listed}\n")


def label_studio_yolo(items: Sequence[Labelled], root: Path) -> None:
    """images/, labels/ and a list of names instead of data.yaml; notes.json looks a bit like COCO."""
    yolo(items, root)
    (root / "data.yaml").unlink()
    write(root / "classes.txt", "\n".join(ids_of(items)))
    write(root / "notes.json", {"categories": [{"id": 0, "name": "cat"}], "info": {"contributor": "Label Studio"}})


BUILDERS: dict[str, Callable[[Sequence[Labelled], Path], None]] = {
    "Roboflow": roboflow,
    "CVAT": cvat,
    "Label Studio": label_studio,
    "FiftyOne": fiftyone,
    "COCO": official,
    "labelme": labelme,
    "labelme with images inside": lambda items, root: labelme(items, root, embedded=True),
    "YOLO": yolo,
    "YOLO of Label Studio": label_studio_yolo,
    "YOLO of Roboflow": lambda items, root: yolo(items, root, roboflow_style=True),
}

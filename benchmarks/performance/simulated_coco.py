"""A data set of COCO's size: 118 000 images with 860 000 annotated objects, made of a few image files."""

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

IMAGES, OBJECTS, CATEGORIES = 118_000, 860_000, 80
SIZE = (480, 640)  # height, width
FILES = 8  # different files; a disk allows some 60 000 links to one
POINTS = (8, 46)  # of a polygon, so that the file is as large as COCO's


def simulate_coco(root: Path, *, images: int = IMAGES, objects: int = OBJECTS, seed: int = 0) -> Path:
    """Write the data set in COCO 2017's layout, unless it is there; the validation part has a hundredth of it."""
    rng = np.random.default_rng(seed)
    for split, share in (("train", 1.0), ("val", 0.01)):
        _write_split(root, f"{split}2017", round(images * share), round(objects * share), rng)
    return root


def _write_split(root: Path, year: str, images: int, objects: int, rng: np.random.Generator) -> None:
    file, folder = root / "annotations" / f"instances_{year}.json", root / year
    if file.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    file.parent.mkdir(exist_ok=True)
    names = [f"{number:012d}.jpg" for number in range(1, images + 1)]
    for position, name in enumerate(names):
        source = folder / names[position % FILES]
        if position < FILES:
            Image.fromarray(rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)).resize(SIZE[::-1]).save(folder / name)
        else:
            os.link(source, folder / name)
    with file.with_suffix(".part").open("w") as stream:
        stream.write('{"info": {}, "licenses": [], "images": [')
        records = (
            {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1], "license": 1}
            for number, name in enumerate(names, 1)
        )
        stream.write(",\n".join(map(json.dumps, records)))
        stream.write('],\n"annotations": [')
        stream.write(",\n".join(json.dumps(_annotation(number, images, rng)) for number in range(1, objects + 1)))
        stream.write('],\n"categories": ')
        categories = [
            {"id": number, "name": f"thing {number}", "supercategory": "thing"} for number in range(1, CATEGORIES + 1)
        ]
        stream.write(json.dumps(categories) + "}")
    file.with_suffix(".part").rename(file)


def _annotation(number: int, images: int, rng: np.random.Generator) -> dict[str, object]:
    """A star-shaped object."""
    height, width = SIZE
    radius = rng.uniform(8, 100)
    x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
    angles = np.linspace(0, 2 * np.pi, int(rng.integers(*POINTS)), endpoint=False)
    distance = radius * rng.uniform(0.6, 1, len(angles))
    points = np.stack([x + distance * np.cos(angles), y + distance * np.sin(angles)], axis=1).round(2)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return {
        "id": number,
        "image_id": int(rng.integers(1, images + 1)),
        "category_id": int(CATEGORIES * rng.random() ** 2) + 1,
        "iscrowd": 0,
        "area": round(float(np.pi * (0.8 * radius) ** 2), 1),
        "bbox": [round(float(side), 2) for side in (left, top, right - left, bottom - top)],
        "segmentation": [points.flatten().tolist()],
    }

"""Small data sets: a COCO file with every kind of annotation, and one in COCO's native layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Build = Callable[..., tuple[Path, Path]]


@pytest.fixture
def content() -> dict[str, Any]:
    """Three images (12 x 16 pixels), ids out of order and with gaps; image 40 has no object."""
    return {
        "info": {},
        "licenses": [],
        "images": [
            {"id": 40, "file_name": "empty.png", "height": 12, "width": 16},
            {"id": 7, "file_name": "sub/a.png", "height": 12, "width": 16, "caption": "two things"},
            {"id": 9, "file_name": "b.png", "height": 12, "width": 16},
        ],
        "annotations": [
            {
                "id": 5,
                "image_id": 9,
                "category_id": 90,
                "iscrowd": 1,
                "segmentation": {"size": [12, 16], "counts": [12, 24, 156]},
            },
            {"id": 3, "image_id": 7, "category_id": 3, "iscrowd": 0, "segmentation": [[1, 1, 8, 1, 8, 6, 1, 6]]},
            {"id": 8, "image_id": 7, "category_id": 90, "score": 0.5, "segmentation": [[9, 7, 15, 7, 15, 11, 9, 11]]},
        ],
        "categories": [{"id": 90, "name": "toothbrush", "supercategory": "indoor"}, {"id": 3, "name": "car"}],
    }


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Write the file and its images; returns both paths."""

    def build(content: Any) -> tuple[Path, Path]:
        images = tmp_path / "images"
        (images / "sub").mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(("empty.png", "sub/a.png", "b.png")):
            Image.fromarray(np.full((12, 16, 3), 40 * number, dtype=np.uint8)).save(images / name)
        file = tmp_path / "instances.json"
        file.write_text(json.dumps(content))
        return file, images

    return build


CATEGORY_IDS = (3, 17, 90)


def _write_split(root: Path, split: str, count: int, first_id: int) -> None:
    """Images of random pixels; image k shows category k % 3, every third one category 0 too, every tenth nothing."""
    rng = np.random.default_rng(first_id)
    folder = root / f"{split}2017"
    folder.mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        image_id, name = first_id + number, f"{number:04d}.png"
        Image.fromarray(rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)).save(folder / name)
        images.append({"id": image_id, "file_name": name, "height": 16, "width": 20})
        labels = [] if number % 10 == 9 else [number % 3, 0][: 1 + (number % 3 == 1)]
        for label in labels:
            left = 2 + 8 * (len(annotations) % 2)
            polygon = [left, 3, left + 6, 3, left + 6, 10, left, 10]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CATEGORY_IDS[label],
                    "iscrowd": 0,
                    "segmentation": [polygon],
                }
            )
    names = ("apple", "dog", "cup")
    categories = [{"id": identity, "name": name} for identity, name in zip(CATEGORY_IDS, names, strict=True)]
    (root / "annotations").mkdir(exist_ok=True)
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))


@pytest.fixture
def native(tmp_path: Path) -> Callable[..., Path]:
    """Write a data set; returns its root."""

    def build(num_train: int = 40, num_val: int = 12, first_id: int = 100) -> Path:
        root = tmp_path / "native"
        _write_split(root, "train", num_train, first_id)
        _write_split(root, "val", num_val, 10_000)
        return root

    return build


@pytest.fixture
def edit_annotations() -> Callable[[Path, str, Callable[[dict], None]], None]:
    """Change the content of a split's annotation file in place."""

    def edit(root: Path, split: str, change: Callable[[dict], None]) -> None:
        file = root / "annotations" / f"instances_{split}2017.json"
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return edit

"""A small COCO file with every kind of annotation."""

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

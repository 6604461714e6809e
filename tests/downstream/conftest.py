"""A small set of drawn discs and bars, in the layout of a COCO set."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as mask_utils
from safetensors.torch import load_file

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.downstream import Labelled

CATEGORIES = (Category(id=3, name="disc"), Category(id=17, name="bar"))


def draw_shapes(root: Path, subset: str, num_images: int, seed: int, size: int = 64) -> Labelled:
    """Write images with up to three shapes each; the first image holds none."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for image_id in range(1, num_images + 1):
        image = np.full((size, size, 3), rng.integers(90, 160, 3), dtype=np.uint8)
        masks = []
        for _ in range(0 if image_id == 1 else rng.integers(1, 4)):
            label, centre, extent = rng.integers(2), rng.integers(10, size - 10, 2), int(rng.integers(7, 15))
            mask, half = np.zeros((size, size), dtype=np.uint8), np.array([extent, 5])
            if label == 0:
                cv2.circle(mask, centre.tolist(), extent, 1, thickness=-1)
            else:
                cv2.rectangle(mask, (centre - half).tolist(), (centre + half).tolist(), 1, thickness=-1)
            image[mask > 0] = (230, 60, 40) if label == 0 else (30, 80, 220)
            masks = [(other, np.where(mask > 0, 0, earlier)) for other, earlier in masks] + [(label, mask)]
        name = f"{subset}_{image_id}.png"
        cv2.imwrite(str(root / "images" / name), image[..., ::-1])
        images.append({"id": image_id, "file_name": name, "height": size, "width": size})
        annotations += [_annotation(len(annotations) + 1 + n, image_id, *shape) for n, shape in enumerate(masks)]
    file = root / "annotations" / f"{subset}.json"
    categories = [{"id": category.id, "name": category.name, "supercategory": ""} for category in CATEGORIES]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return Labelled(folder=root, subset=subset)


def _annotation(annotation_id: int, image_id: int, label: int, mask: np.ndarray) -> dict:
    rle = mask_utils.encode(np.asfortranarray(mask))
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": CATEGORIES[label].id,
        "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
        "area": int(mask_utils.area(rle)),
        "bbox": mask_utils.toBbox(rle).tolist(),
        "iscrowd": 0,
    }


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Labelled]:
    """Drawn subsets `train` and `dev`."""
    root = tmp_path_factory.mktemp("shapes")
    return {"train": draw_shapes(root, "train", 16, seed=0), "dev": draw_shapes(root, "dev", 6, seed=1)}


@pytest.fixture(scope="session")
def categories() -> tuple[Category, ...]:
    """Categories of the drawn shapes, in label order."""
    return CATEGORIES


@pytest.fixture
def check_checkpoints() -> Callable[..., None]:
    """Trains twice with the same checkpoints: the second finds the end of the first and trains no more."""

    def check(train: Callable[..., Any], settings: config.Downstream, folder: Path, **data: Any) -> None:
        weights = []
        for attempt in ("first", "again"):
            train(settings, **data, seed=0, out=folder / attempt, device="cpu", resume=folder / "resume")
            weights.append(load_file(folder / attempt / "model.safetensors"))
        assert [path.name for path in (folder / "resume").iterdir()] == [f"checkpoint-{settings.iterations}"]
        for key, value in weights[0].items():
            torch.testing.assert_close(value, weights[1][key], rtol=0, atol=0)

    return check

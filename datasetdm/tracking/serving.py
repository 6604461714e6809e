"""A model behind a web server: pictures come in as files, annotations go out as JSON in the field's own notations."""

import base64
import io
import math
import tempfile
from collections.abc import Hashable, Mapping, Sequence
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasetdm.annotations.annotation import Pictured
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import KEYPOINTS, Persons
from datasetdm.annotations.predictor import Predictor
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.datasets.standard.masks import encode_mask
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import read_image

DEPTH_UNITS = 256.0  # per metre in a depth PNG, as in KITTI's: up to 255.996 m


def answer(model: Predictor, requests: Sequence[Mapping[Hashable, Any]]) -> list[dict[str, Any]]:
    """What the model finds in each picture, ready for JSON.

    Args:
        model: a loaded model.
        requests: one per picture: `image`, the bytes of its file, and, for a model that takes them, `boxes`, the
            persons' boxes (N x 4: x, y, width, height in pixels; None: the picture is that of one person).

    Returns:
        Per picture `height`, `width` and

        - instances: `objects`, best first: COCO's results (`category_id`, `bbox`, `segmentation` as compressed RLE,
          `score`) with `category_name`;
        - poses: `persons`: `category_id`, `category_name`, `bbox`, `score` and `keypoints` (x, y and score of each of
          `keypoint_names`, one after the other);
        - semantic maps: `semantic_map`, an 8-bit PNG in base64 whose values are positions in `categories` (255: not
          known);
        - depth: `depth`, a 16-bit PNG in base64 (0: not known); `units_per_metre` says how many make a metre.

    Raises:
        DatasetDMError: a file that is no picture, or boxes that are none; the message says which.
    """
    pictures = [
        (_picture(request["image"], number), _boxes(request.get("boxes"), number))
        for number, request in enumerate(requests, 1)
    ]
    answers = []
    for image, boxes in pictures:
        (found,) = model.predict([image], None if boxes is None else [boxes])
        height, width = image.shape[:2]
        answers.append({"height": height, "width": width, **as_json(found, model.categories)})
    return answers


@singledispatch
def as_json(found: Any, categories: Sequence[Category]) -> dict[str, Any]:
    """An annotation as plain numbers, texts and lists."""
    if isinstance(found, Pictured):
        return {"picture": _png(found.picture())}
    raise TypeError(f"{type(found).__name__} is not an annotation")


@as_json.register
def _(found: Instances, categories: Sequence[Category]) -> dict[str, Any]:
    return {
        "objects": [
            {
                **_category(categories[label]),
                "bbox": _box_of(mask),
                "segmentation": encode_mask(mask),
                "score": float(score),
            }
            for mask, label, score in zip(found.masks, found.labels, found.scores, strict=True)
        ]
    }


@as_json.register
def _(found: Persons, categories: Sequence[Category]) -> dict[str, Any]:
    return {
        "keypoint_names": list(KEYPOINTS),
        "persons": [
            {
                **_category(categories[0]),
                "bbox": found.boxes[index].tolist(),
                "keypoints": found.keypoints[index].ravel().tolist(),
                "score": float(found.scores[index]),
            }
            for index in range(len(found))
        ],
    }


@as_json.register
def _(found: SemanticMap, categories: Sequence[Category]) -> dict[str, Any]:
    return {
        "categories": [_category(category) for category in categories],
        "unknown": IGNORE,
        "semantic_map": _png(found.labels),
    }


@as_json.register
def _(found: DepthMap, categories: Sequence[Category]) -> dict[str, Any]:
    units = np.rint(np.where(found.valid_mask, found.depth, 0).astype(np.float64) * DEPTH_UNITS)
    units = np.where(found.valid_mask, units.clip(1, 2**16 - 1), 0).astype(np.uint16)
    return {"units_per_metre": DEPTH_UNITS, "depth": _png(units)}


def _picture(data: Any, number: int) -> np.ndarray:
    """A picture from the bytes of its file, through the reader that all images go through."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "picture"
            file.write_bytes(data)
            return read_image(file)
    except (TypeError, DatasetDMError):
        raise DatasetDMError(
            f"Picture {number} of the request cannot be read. `image` has to hold a whole JPEG, PNG or other image "
            "file; in JSON, as base64 text without a prefix such as data:image/png;base64."
        ) from None


def _boxes(given: Any, number: int) -> np.ndarray | None:
    if given is None or (isinstance(given, float) and math.isnan(given)):  # how a table says that a cell is empty
        return None
    try:
        boxes = np.array([list(box) for box in given], dtype=np.float32).reshape(-1, 4)
        if not np.isfinite(boxes).all() or (boxes[:, 2:] <= 0).any():
            raise ValueError
    except (TypeError, ValueError):
        raise DatasetDMError(
            f"The boxes of picture {number} have to be a list of [x, y, width, height] in pixels, width and height "
            "above 0."
        ) from None
    return boxes


def _category(category: Category) -> dict[str, Any]:
    return {"category_id": category.id, "category_name": category.name}


def _box_of(mask: np.ndarray) -> list[int]:
    """x, y, width, height of a mask's pixels; zeros where it has none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(value) for value in (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)]


def _png(pixels: np.ndarray) -> str:
    """A map of numbers as a PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode("ascii")

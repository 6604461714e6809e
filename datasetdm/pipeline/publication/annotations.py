"""The annotations of a set as columns of `metadata.jsonl`, which `datasets.load_dataset` reads.

A format of `datasetdm.datasets.standard` becomes columns here, and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np

from datasetdm.datasets.standard.depth_png import depth_codec
from datasetdm.datasets.standard.formats import (
    DepthFormat,
    InstanceFormat,
    MapFormat,
    PersonFormat,
    SemanticFormat,
    StandardFormat,
)
from datasetdm.datasets.standard.layout import annotation_file
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.utils.files import read_json
from datasetdm.utils.paths import safe_join


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The annotations of a subset.

    Attributes:
        column: its name in the published table: `objects`, `mask`, `depth` or `map`.
        meaning: what the column holds, in a sentence.
        objects: image -> the value of the column; empty if annotations are pictures.
        maps: image -> the picture; empty if annotations are numbers.
    """

    column: str
    meaning: str
    objects: Mapping[str, dict[str, list[Any]]] = field(default_factory=dict)
    maps: Mapping[str, Path] = field(default_factory=dict)


@singledispatch
def read_annotations(files: StandardFormat, root: Path, subset: str, task: Task) -> Annotations:
    """The annotations of a subset in `root`.

    Raises:
        DatasetDMError: the format has no columns, or a file is missing or broken.
    """
    raise DatasetDMError(f"Annotations in the form of {type(files).__name__} cannot be published yet.")


@read_annotations.register
def _instances(files: InstanceFormat, root: Path, subset: str, task: Task) -> Annotations:
    meaning = (
        "one entry per object in each list: `bbox` in pixels (x, y, width, height), `category`, `category_id`, `area` "
        "in pixels, `segmentation` (COCO's compressed run lengths, for `pycocotools.mask.decode`), `score` (the "
        "P-Decoder's confidence)"
    )
    keys = ("bbox", "area", "segmentation")
    return Annotations(column="objects", meaning=meaning, objects=_objects(root, subset, task, keys))


@read_annotations.register
def _persons(files: PersonFormat, root: Path, subset: str, task: Task) -> Annotations:
    meaning = (
        "one entry per person in each list: `bbox` in pixels (x, y, width, height), `category`, `category_id`, `area` "
        "in pixels, `segmentation` (COCO's compressed run lengths), `keypoints` (COCO's 17: x, y, visibility), `score` "
        "(the P-Decoder's confidence)"
    )
    keys = ("bbox", "area", "segmentation", "keypoints")
    return Annotations(column="objects", meaning=meaning, objects=_objects(root, subset, task, keys))


@read_annotations.register
def _maps(files: MapFormat, root: Path, subset: str, task: Task) -> Annotations:
    return Annotations(column="map", meaning=f"a PNG: the annotation of {task.name}", maps=_pictures(root, subset))


@read_annotations.register
def _semantic(files: SemanticFormat, root: Path, subset: str, task: Task) -> Annotations:
    meaning = "an 8-bit PNG: the value of a pixel is the label of its category (below), 255 is unknown"
    return Annotations(column="mask", meaning=meaning, maps=_pictures(root, subset))


@read_annotations.register
def _depth(files: DepthFormat, root: Path, subset: str, task: Task) -> Annotations:
    one = depth_codec(task.settings.max_depth).decode(np.ones((1, 1), np.uint16)).depth
    meaning = f"a 16-bit PNG: the value of a pixel is its depth in units of 1/{1 / one.item():.0f} m, 0 is unknown"
    return Annotations(column="depth", meaning=meaning, maps=_pictures(root, subset))


def _objects(root: Path, subset: str, task: Task, keys: tuple[str, ...]) -> dict[str, dict[str, list[Any]]]:
    content = _content(root, subset)
    names = {category.id: category.name for category in task.categories}
    images = {record["id"]: record["file_name"] for record in content["images"]}
    columns = ("category", "category_id", *keys, "score")
    found: dict[str, dict[str, list[Any]]] = {name: {key: [] for key in columns} for name in images.values()}
    for record in content["annotations"]:
        values = {**record, "category": names[record["category_id"]], "score": record.get("score", 1.0)}
        for key, column in found[images[record["image_id"]]].items():
            column.append(values[key])
    return found


def _pictures(root: Path, subset: str) -> dict[str, Path]:
    records = _content(root, subset)["images"]
    return {record["file_name"]: safe_join(root / "maps", record["map"]) for record in records}


def _content(root: Path, subset: str) -> dict[str, Any]:
    content: dict[str, Any] = read_json(annotation_file(root, subset), remedy="Run the stage synthesize again.")
    return content

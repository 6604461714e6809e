"""The annotations of a published set: the rows and maps of `datasetdm export`, and what a card says of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from datasetdm.datasets.exporting.contents import Contents, Item
from datasetdm.datasets.exporting.exporting import Export
from datasetdm.datasets.exporting.rows import map_name, objects_of
from datasetdm.datasets.standard.depth_png import depth_codec
from datasetdm.datasets.standard.formats import (
    DepthFormat,
    InstanceFormat,
    MapFormat,
    PersonFormat,
    SemanticFormat,
    StandardFormat,
)
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The annotations of a set.

    Attributes:
        column: its name in the published table: `objects`, `mask`, `depth` or `map`.
        meaning: what the column holds, in a sentence.
        export: goes through the images, and gives their maps.
    """

    column: str
    meaning: str
    export: Export

    @property
    def are_maps(self) -> bool:
        """They are pictures; else objects."""
        return map_name(self.export) is not None

    def items(self) -> Iterator[Item]:
        """The images of the set, once."""
        return self.export.items("train")

    def objects(self, item: Item) -> dict[str, list[Any]]:
        """The objects of an image as lists of equal length; categories by name, which needs no list of labels."""
        found = objects_of(self.export, item)
        return found | {"category": [self.export.categories[label].name for label in found["category"]]}


def annotations_of(contents: Contents, files: StandardFormat, task: Task) -> Annotations:
    """The annotations of the images that are exported.

    Args:
        contents: one set.
        files: its format.
        task: what is annotated.

    Raises:
        DatasetDMError: annotations of this format have no columns.
    """
    export = Export(contents)
    return Annotations(column=map_name(export) or "objects", meaning=_meaning(files, task), export=export)


@singledispatch
def _meaning(files: StandardFormat, task: Task) -> str:
    """What the column of a format holds."""
    raise DatasetDMError(f"Annotations in the form of {type(files).__name__} cannot be published yet.")


@_meaning.register
def _instances(files: InstanceFormat, task: Task) -> str:
    return f"one entry per object in each list: {_OBJECT}, {_SCORE}"


@_meaning.register
def _persons(files: PersonFormat, task: Task) -> str:
    return (
        f"one entry per person in each list: {_OBJECT}, `keypoints` (COCO's 17, each x, y, visibility), "
        f"`num_keypoints` (those that are labelled), {_SCORE}"
    )


@_meaning.register
def _maps(files: MapFormat, task: Task) -> str:
    return f"a PNG: the annotation of {task.name}"


@_meaning.register
def _semantic(files: SemanticFormat, task: Task) -> str:
    return "an 8-bit PNG: the value of a pixel is the label of its category (below), 255 is unknown"


@_meaning.register
def _depth(files: DepthFormat, task: Task) -> str:
    one = depth_codec(task.settings.max_depth).decode(np.ones((1, 1), np.uint16)).depth
    return f"a 16-bit PNG: the value of a pixel is its depth in units of 1/{1 / one.item():.0f} m, 0 is unknown"


_OBJECT = (
    "`bbox` in pixels (x, y, width, height), `category`, `category_id`, `area` in pixels, `iscrowd` (always 0), "
    "`segmentation` (COCO's compressed run lengths, for `pycocotools.mask.decode`)"
)
_SCORE = "`score` (the P-Decoder's confidence)"

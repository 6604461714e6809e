"""What is exported: annotated sets of one task, with the categories of all."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datasetdm.annotations.sample import Attribution, Category
from datasetdm.datasets.standard.described import Described
from datasetdm.datasets.standard.maps import MapCodec

#: The part that images play for the user's own training, in the order in which they are exported.
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class SourceSet:
    """A set that takes part.

    Attributes:
        benchmark: whose.
        name: `synthetic`, `real`, ...
        split: where its images go.
        count: number of images.
        describe: goes through its images.
        table: int64, the label among `Contents.categories` for each label of the set; None: they are the same.
        columns: image name -> further facts about the image by name, such as its seed and scores.
        license: COCO's record of the licence of images that come without one.
    """

    benchmark: str
    name: str
    split: Split
    count: int
    describe: Callable[[], Iterable[Described]]
    table: np.ndarray | None = None
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    license: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is exported.

    Attributes:
        task: the name of the task.
        categories: of all sets, in label order.
        sets: at least one.
        codec: how an annotation becomes a map, if it is one.
        details: what a reader of the maps has to know besides, such as the unit of depths.
        description: in a sentence.
    """

    task: str
    categories: tuple[Category, ...]
    sets: tuple[SourceSet, ...]
    codec: MapCodec | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""

    @property
    def columns(self) -> dict[str, type]:
        """The further facts that some images have, with their types (int, float or str), in order."""
        found: dict[str, type] = {}
        for part in self.sets:
            first = next(iter(part.columns.values()), {})
            found |= {name: type(value) for name, value in first.items() if name not in found}
        return found

    @property
    def splits(self) -> tuple[Split, ...]:
        """Those that have a set."""
        return tuple(split for split in SPLITS if any(part.split == split for part in self.sets))

    def count(self, split: Split | None = None) -> int:
        """The number of images, of one split or of all."""
        return sum(part.count for part in self.sets if split in (None, part.split))


@dataclass(frozen=True, kw_only=True)
class Item:
    """An image of an export.

    Attributes:
        id: counted from 1 over all splits.
        name: file name, without folders; no two differ in their suffix or in capital letters alone.
        path: the file.
        upright: its pixels are as they are shown, without being turned by EXIF.
        size: (height, width) of the upright image.
        caption: possibly empty.
        target: the annotation, with labels among `Contents.categories`; masks of objects are encoded.
        split: where it goes.
        benchmark: which it comes from.
        set: `synthetic`, `real`, ...
        attribution: where the image comes from, and its licence; at least one.
        columns: further facts.
    """

    id: int
    name: str
    path: Path
    upright: bool
    size: tuple[int, int]
    caption: str
    target: Any
    split: Split
    benchmark: str
    set: str
    attribution: tuple[Attribution, ...]
    columns: Mapping[str, Any]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return Path(self.name).stem

"""What every export is turned into: pictures, their annotation, and the categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datasetdm.annotations.sample import Attribution, Category

Subset = Literal["train", "val"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One annotated object.

    Attributes:
        label: the category's name.
        segmentation: polygons (x, y, x, y, ... in pixels of the upright image each) or RLE, as in COCO; None if there
            is only a box.
        box: x, y, width, height in pixels; None if the export does not give it.
        crowd: a region with several objects.
        keypoints: x, y, visibility of each of COCO's 17 keypoints, one after the other; None if it has no pose.
        normalised: coordinates are fractions of the image's sides instead of pixels, as in YOLO.
    """

    label: str
    segmentation: Any = None
    box: Sequence[float] | None = None
    crowd: bool = False
    keypoints: Sequence[float] | None = None
    normalised: bool = False


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image of an export.

    Attributes:
        file: the image file.
        name: its path in the export, for messages and groups.
        shapes: its objects.
        annotation: the file of its index mask or depth map, if the annotation is one.
        size: (height, width) that the export says; None if it does not.
        subset: the side of the split on which the export puts it; None if the export is not split.
        captions: possibly none.
        attribution: where it comes from, if the export says.
        temporary: the image file was made by the import, so that it is moved instead of linked.
    """

    file: Path
    name: str
    shapes: tuple[Shape, ...] = ()
    annotation: Path | None = None
    size: tuple[int, int] | None = None
    subset: Subset | None = None
    captions: tuple[str, ...] = ()
    attribution: tuple[Attribution, ...] = ()
    temporary: bool = False


@dataclass(frozen=True, kw_only=True)
class Contents:
    """An export.

    Attributes:
        task: the task that its annotation is for: `instance`, `pose`, `semantic` or `depth`.
        categories: with the export's ids, or numbers from 1 if it has none. Of index masks the id is the pixel value.
        pictures: in the export's order.
        root: the folder or file that was imported, for messages.
        details: what the writer of the task has to know besides, such as the unit of depth maps.
    """

    task: str
    categories: tuple[Category, ...]
    pictures: tuple[Picture, ...]
    root: Path
    details: Mapping[str, Any] = field(default_factory=dict)


def numbered(names: Sequence[str]) -> tuple[Category, ...]:
    """Categories of these names with the ids 1, 2, ...; every name once."""
    return tuple(Category(id=number, name=name) for number, name in enumerate(dict.fromkeys(names), 1))

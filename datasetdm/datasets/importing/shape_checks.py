"""Objects with polygons, masks, boxes and keypoints: brought into COCO's form, or left out with a reason."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from datasetdm.annotations.persons import KEYPOINTS, inside_image
from datasetdm.datasets.importing.contents import Contents, Picture, Shape
from datasetdm.datasets.importing.files import look_at
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.standard.masks import Outside, check_segmentation, encode_runs, is_drawable

Size = tuple[int, int]  # (height, width)


def check_shapes(contents: Contents, findings: Findings) -> Contents:
    """The contents with the objects that can be used, in pixels."""
    pictures = [replace(picture, shapes=_usable(picture, contents.task, findings)) for picture in contents.pictures]
    empty = [picture.name for picture in pictures if not picture.shapes]
    if empty:
        findings.odd("images have no object: kept, they teach what is background", empty[0], count=len(empty))
    crowds = sum(shape.crowd for picture in pictures for shape in picture.shapes)
    if crowds:
        findings.odd("regions are crowds (iscrowd: 1): neither learnt nor counted as mistakes", "", count=crowds)
    contents = replace(contents, pictures=tuple(pictures))
    return _of_one_category(contents, findings) if contents.task == "pose" else contents


def box_polygon(box: Sequence[float]) -> list[list[float]]:
    """A box (x, y, width, height) as a polygon."""
    left, top, width, height = box
    return [[left, top, left + width, top, left + width, top + height, left, top + height]]


def _of_one_category(contents: Contents, findings: Findings) -> Contents:
    """Poses are of people alone: the contents without the categories that have no object."""
    used = {shape.label for picture in contents.pictures for shape in picture.shapes}
    if len(used) > 1:
        findings.problem(
            f"{contents.root} has keypoints of {', '.join(sorted(used))}. The pose benchmarks know one category: "
            "export one alone, or import masks and boxes with --task instance."
        )
    return replace(contents, categories=tuple(c for c in contents.categories if c.name in used))


def _usable(picture: Picture, task: str, findings: Findings) -> tuple[Shape, ...]:
    size = look_at(picture.file).size
    assert size is not None, "images that cannot be read were left out before"
    shapes = (_checked(shape, size, picture.name, findings) for shape in picture.shapes)
    found = [shape for shape in shapes if shape is not None]
    if task == "pose":
        found = [_with_pose(shape, size, picture.name, findings) for shape in found]
    return tuple(found)


def _checked(shape: Shape, size: Size, where: str, findings: Findings) -> Shape | None:
    """The shape with a mask or a box that lies in its image; None if it has neither."""
    shape = _in_pixels(shape, size)
    segmentation = _plain_segmentation(shape.segmentation)
    if segmentation and is_drawable(segmentation):
        try:
            if check_segmentation(segmentation, *size):
                findings.odd("polygons reach over the border of the image: cut there", where)
        except Outside:
            segmentation = _pulled_in(segmentation, size)
            findings.odd("polygons lie outside the image: cut at its border", where)
        except ValueError as error:
            findings.odd(f"masks are damaged ({error}): left out", where, lost="object")
            return None
        try:
            runs = encode_runs(segmentation, *size)
        except ValueError as error:
            findings.odd(f"masks are damaged ({error}): left out", where, lost="object")
            return None
        if coco_mask.area(runs) > 0:
            return replace(shape, segmentation=segmentation, box=[float(side) for side in coco_mask.toBbox(runs)])
        findings.odd("objects cover no pixel: left out", where, lost="object")
        return None
    box = _box(shape.box, size)
    if box is not None:
        if list(box) != list(shape.box or ()):
            findings.odd("boxes reach over the border of the image: cut there", where)
        return replace(shape, segmentation=None, box=box)
    if shape.keypoints is not None and any(shape.keypoints[2::3]):
        return replace(shape, segmentation=None, box=_box_of_points(shape.keypoints, size))
    findings.odd(
        "objects have neither a polygon of three points nor a box with an area: left out", where, lost="object"
    )
    return None


def _in_pixels(shape: Shape, size: Size) -> Shape:
    if not shape.normalised:
        return shape
    height, width = size
    sides = (width, height)
    polygons = [
        [value * sides[position % 2] for position, value in enumerate(polygon)] for polygon in shape.segmentation or ()
    ]
    box = None if shape.box is None else [value * sides[position % 2] for position, value in enumerate(shape.box)]
    points = shape.keypoints
    if points is not None:
        scales = (width, height, 1)
        points = [value * scales[position % 3] for position, value in enumerate(points)]
    return replace(shape, segmentation=polygons or None, box=box, keypoints=points, normalised=False)


def _plain_segmentation(value: Any) -> Any:
    """RLE, or a list of flat polygons; some exports write one flat polygon, or pairs of numbers."""
    if not isinstance(value, list) or not value:
        return value if isinstance(value, dict) else None
    if all(isinstance(item, int | float) for item in value):
        value = [value]
    polygons = []
    for polygon in value:
        if isinstance(polygon, list) and polygon and all(isinstance(point, list) for point in polygon):
            polygon = [number for point in polygon for number in point]
        if not isinstance(polygon, list):
            return None
        if len(polygon) >= 6:
            polygons.append(polygon)
    return polygons or None


def _pulled_in(segmentation: list[list[float]], size: Size) -> list[list[float]]:
    """Polygons whose points are moved onto the image's border where they lie outside."""
    height, width = size
    pulled = []
    for polygon in segmentation:
        points = np.array(polygon, dtype=np.float64).reshape(-1, 2).clip((0, 0), (width, height))
        pulled.append(points.ravel().tolist())
    return pulled


def _box(value: Any, size: Size) -> list[float] | None:
    """A box (x, y, width, height) cut at the border of the image; None if that leaves nothing, or if it is none."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    if not all(isinstance(side, int | float) and np.isfinite(side) for side in value):
        return None
    left, top, width, height = map(float, value)
    right, bottom = min(left + width, size[1]), min(top + height, size[0])
    inner_left, inner_top = max(left, 0.0), max(top, 0.0)
    if right - inner_left <= 0 or bottom - inner_top <= 0:
        return None
    if (inner_left, inner_top, right, bottom) == (left, top, left + width, top + height):
        return [left, top, width, height]
    # A hair over the border comes from rounding, and is not worth a word.
    cut = [inner_left, inner_top, right - inner_left, bottom - inner_top]
    return list(value) if np.allclose(cut, value, atol=1.0) else cut


def _box_of_points(points: Sequence[float], size: Size) -> list[float]:
    """The box around the labelled keypoints; at least a pixel."""
    x, y, flags = np.array(points, dtype=np.float64).reshape(-1, 3).T
    x, y = x[flags > 0].clip(0, size[1] - 1), y[flags > 0].clip(0, size[0] - 1)
    return [x.min(), y.min(), max(float(np.ptp(x)), 1.0), max(float(np.ptp(y)), 1.0)]


def _with_pose(shape: Shape, size: Size, where: str, findings: Findings) -> Shape:
    """The person with 17 keypoints whose visibility is 0, 1 or 2; those outside the image are not labelled."""
    points = np.zeros((len(KEYPOINTS), 3))
    if shape.keypoints is not None:
        points = np.array(shape.keypoints, dtype=np.float64).reshape(-1, 3)
        if not np.isfinite(points).all():
            findings.odd("keypoints are not numbers: not labelled", where)
            points[~np.isfinite(points).all(axis=1)] = 0
        odd = ~np.isin(points[:, 2], (0, 1, 2))
        points[odd, 2] = np.where(points[odd, 2] >= 0.5, 2, 0)  # a score instead of a visibility
        outside = (points[:, 2] > 0) & ~inside_image(points, size)
        if outside.any():
            findings.odd("keypoints lie outside their image: not labelled", where, count=int(outside.sum()))
        points[outside | (points[:, 2] == 0)] = 0
    return replace(shape, keypoints=points.ravel().tolist())

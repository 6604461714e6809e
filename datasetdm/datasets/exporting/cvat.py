"""CVAT for images 1.1: `<split>/annotations.xml` and `<split>/images/`; `labels.json` for CVAT's label constructor.

Objects and categories are masks, which CVAT's brush can correct. Poses are skeletons. The XML is written image by
image, so that memory holds one.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

import numpy as np

from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.persons import KEYPOINTS, SKELETON
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.exporting.contents import Item
from datasetdm.datasets.exporting.exporting import Export
from datasetdm.datasets.exporting.objects import mask_of, records_of, without_crowds
from datasetdm.datasets.native.voc_names import voc_colours
from datasetdm.utils.files import write_json

Element = ElementTree.Element


def write_cvat(export: Export, folder: Path) -> None:
    """A folder for each split, which becomes a task."""
    shapes, label = _TASKS[export.contents.task]
    names = [category.name for category in export.categories if category.name != BACKGROUND]
    labels = [label(name, colour) for name, colour in zip(names, _colours(len(names)), strict=True)]
    for split in export.splits:
        (folder / split).mkdir()
        with (folder / split / "annotations.xml").open("w", encoding="utf-8", newline="\n") as stream:
            stream.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
            _write(stream, _text("version", "1.1"))
            _write(stream, _meta(f"{export.contents.description}, {split}", export.contents.count(split), labels))
            for number, item in enumerate(export.items(split)):
                export.place(item, folder / split / "images")
                height, width = map(str, item.size)
                image = Element("image", id=str(number), name=item.name, width=width, height=height)
                image.extend(shapes(export, item))
                _write(stream, image)
            stream.write("</annotations>\n")
    write_json(folder / "labels.json", labels)


def _write(stream: IO[str], element: Element) -> None:
    ElementTree.indent(element)
    stream.write(ElementTree.tostring(element, encoding="unicode") + "\n")


def _objects(export: Export, item: Item) -> Iterator[Element]:
    names = {category.id: category.name for category in export.categories}
    for record in records_of(export, item):
        shape = _mask(names[record["category_id"]], mask_of(record))
        if record["iscrowd"]:  # CVAT has no crowds; what it makes of COCO JSON has this attribute
            export.lose("crowd regions: masks like those of objects, unless their labels have the attribute is_crowd")
            ElementTree.SubElement(shape, "attribute", name="is_crowd").text = "true"
        yield shape


def _regions(export: Export, item: Item) -> Iterator[Element]:
    """A mask per category; what is in none is background or not known."""
    labels = export.map_of(item)
    if (labels == IGNORE).any():
        export.lose("images have pixels of which nothing is known: they look like background")
    for label in np.unique(labels).tolist():
        if label != IGNORE and export.categories[label].name != BACKGROUND:
            yield _mask(export.categories[label].name, labels == label)


def _mask(label: str, mask: np.ndarray) -> Element:
    """A mask as run lengths over its box, row by row; the first run is of pixels outside."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
    values = mask[top:bottom, left:right].ravel()
    ends = np.flatnonzero(np.diff(np.concatenate([[False], values]).astype(np.int8)))
    runs = np.diff(np.concatenate([[0], ends, [values.size]]))
    return Element(
        "mask",
        label=label,
        source="auto",
        occluded="0",
        rle=", ".join(map(str, runs.tolist())),
        left=str(left),
        top=str(top),
        width=str(right - left),
        height=str(bottom - top),
        z_order="0",
    )


def _skeletons(export: Export, item: Item) -> Iterator[Element]:
    names = {category.id: category.name for category in export.categories}
    for record in without_crowds(export, records_of(export, item)):
        points = np.array(record["keypoints"], dtype=float).reshape(-1, 3)
        skeleton = Element("skeleton", label=names[record["category_id"]], source="auto", z_order="0")
        for name, (x, y, visible) in zip(KEYPOINTS, points, strict=True):
            # A point at 0.5 is the middle of the first pixel for CVAT, and at 0 for COCO.
            ElementTree.SubElement(
                skeleton,
                "points",
                label=name,
                source="auto",
                outside=str(int(visible == 0)),
                occluded=str(int(visible == 1)),
                points=f"{x + 0.5:.2f},{y + 0.5:.2f}",
            )
        yield skeleton


def _meta(name: str, size: int, labels: Iterable[dict[str, object]]) -> Element:
    meta = Element("meta")
    task = ElementTree.SubElement(meta, "task")
    task.append(_text("name", name))
    task.append(_text("size", str(size)))
    task.append(_text("mode", "annotation"))
    listed = ElementTree.SubElement(task, "labels")
    for label in labels:
        _add_label(listed, label)
    return meta


def _add_label(listed: Element, label: dict[str, object], parent: str = "") -> None:
    entry = ElementTree.SubElement(listed, "label")
    for key in ("name", "color", "type"):
        entry.append(_text(key, str(label.get(key, ""))))
    ElementTree.SubElement(entry, "attributes")
    if "svg" in label:
        entry.append(_text("svg", str(label["svg"])))
    if parent:
        entry.append(_text("parent", parent))
    parts = label.get("sublabels", [])
    assert isinstance(parts, list)
    for part in parts:
        _add_label(listed, part, str(label["name"]))


def _text(name: str, text: str) -> Element:
    element = Element(name)
    element.text = text
    return element


def _colours(count: int) -> list[str]:
    """A colour for each label, VOC's as long as they last."""
    colours = voc_colours()
    return ["#{:02x}{:02x}{:02x}".format(*colours[1 + number % 254]) for number in range(count)]


def _plain(name: str, colour: str) -> dict[str, object]:
    return {"name": name, "color": colour, "type": "mask", "attributes": []}


def _skeleton(name: str, colour: str) -> dict[str, object]:
    """A label with keypoints; CVAT draws it as the SVG says, in a square of 100."""
    parts = [
        {"name": point, "color": shade, "type": "points", "attributes": []}
        for point, shade in zip(KEYPOINTS, _colours(len(KEYPOINTS)), strict=True)
    ]
    return {"name": name, "color": colour, "type": "skeleton", "attributes": [], "sublabels": parts, "svg": _svg()}


def _svg() -> str:
    places = [_place(number) for number in range(len(KEYPOINTS))]
    lines = [
        f'<line x1="{places[one - 1][0]}" y1="{places[one - 1][1]}" x2="{places[other - 1][0]}" '
        f'y2="{places[other - 1][1]}" data-type="edge" data-node-from="{one}" data-node-to="{other}"></line>'
        for one, other in SKELETON
    ]
    circles = [
        f'<circle r="1.5" cx="{x}" cy="{y}" data-type="element node" data-element-id="{number}" '
        f'data-node-id="{number}" data-label-name="{KEYPOINTS[number - 1]}"></circle>'
        for number, (x, y) in enumerate(places, 1)
    ]
    return "".join([*lines, *circles])


def _place(number: int) -> tuple[int, int]:
    """Where a keypoint lies in the drawing: the nose above, then pairs from the eyes down to the ankles."""
    if number == 0:
        return 50, 12
    pair, right = divmod(number - 1, 2)
    across, down = ((5, 8), (10, 12), (18, 30), (26, 45), (30, 60), (12, 58), (13, 76), (14, 94))[pair]
    return 50 + (-across if right else across), down


_Label = Callable[[str, str], dict[str, object]]
_TASKS: dict[str, tuple[Callable[[Export, Item], Iterator[Element]], _Label]] = {
    "instance": (_objects, _plain),
    "semantic": (_regions, _plain),
    "pose": (_skeletons, _skeleton),
}

"""PASCAL VOC: `JPEGImages/`, index masks in `SegmentationClass/`, lists in `ImageSets/`; for objects also
`SegmentationObject/`, and `Annotations/*.xml` with boxes.

The pixel values are the background (0), the categories in label order from 1, and 255 where nothing is known.
`labelmap.txt` names them, or `classes.txt` where a name holds a colon. Boxes count pixels from 1 and name the last
pixel, as VOC's devkit does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from datasetdm.annotations.categories import BACKGROUND, background_labels
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.exporting.contents import Item
from datasetdm.datasets.exporting.exporting import Export
from datasetdm.datasets.exporting.objects import Record, labels_by_id, mask_of, records_of
from datasetdm.datasets.native.voc_names import voc_colours
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import write_text

_MOST = IGNORE - 1  # pixel values besides the background


def write_voc(export: Export, folder: Path) -> None:
    """Masks, lists, and boxes where there are objects."""
    table = _values(export.categories)
    annotate = {"instance": _write_objects, "semantic": _write_map}[export.contents.task]
    listed: list[str] = []
    for split in export.splits:
        names = []
        for item in export.items(split):
            export.place(item, folder / "JPEGImages")
            annotate(export, item, folder, table)
            names.append(f"{item.stem}\n")
        _write_lists(folder, split, names)
        listed += names if split != "test" else []
    _write_lists(folder, "trainval", listed)
    _write_names(export.categories, table, folder)


def _values(categories: Sequence[Category]) -> np.ndarray:
    """The pixel value of each label, and of `IGNORE`: uint8, 256."""
    background = background_labels(categories)
    objects = [label for label in range(len(categories)) if label not in background]
    if len(objects) > _MOST:
        raise DatasetDMError(
            f"VOC's masks hold {_MOST} categories, and there are {len(objects)}: choose another format, such as coco."
        )
    table = np.full(256, IGNORE, dtype=np.uint8)
    table[background] = 0
    table[objects] = np.arange(1, len(objects) + 1)
    return table


def _write_map(export: Export, item: Item, folder: Path, table: np.ndarray) -> None:
    _write_mask(folder / "SegmentationClass" / f"{item.stem}.png", table[export.map_of(item)])


def _write_objects(export: Export, item: Item, folder: Path, table: np.ndarray) -> None:
    label_of = labels_by_id(export.categories)
    records = records_of(export, item)
    classes, objects = (np.zeros(item.size, dtype=np.uint8) for _ in range(2))
    # Smaller objects in front: a cup on a table stays a cup.
    for number, record in sorted(enumerate(records, 1), key=lambda pair: -pair[1]["area"]):
        mask = mask_of(record)
        classes[mask] = IGNORE if record["iscrowd"] else table[label_of[record["category_id"]]]
        objects[mask] = IGNORE if record["iscrowd"] or number > _MOST else number
    beyond = max(0, len(records) - _MOST)
    export.lose(f"objects beyond the {_MOST}th of an image: in XML and SegmentationClass alone", beyond)
    shown = np.bincount(objects.ravel(), minlength=256)
    counted = [number for number, record in enumerate(records[:_MOST], 1) if not record["iscrowd"]]
    export.lose(
        "objects lose pixels to smaller ones in front of them",
        sum(int(shown[number]) < records[number - 1]["area"] for number in counted),
    )
    _write_mask(folder / "SegmentationClass" / f"{item.stem}.png", classes)
    _write_mask(folder / "SegmentationObject" / f"{item.stem}.png", objects)
    names = {category.id: category.name for category in export.categories}
    write_text(folder / "Annotations" / f"{item.stem}.xml", _xml(export, item, records, names))


def _xml(export: Export, item: Item, records: Sequence[Record], names: dict[int, str]) -> str:
    root = ElementTree.Element("annotation")
    height, width = item.size
    _add(root, folder="JPEGImages", filename=item.name)
    _add(ElementTree.SubElement(root, "source"), database=export.contents.description)
    _add(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
    _add(root, segmented=1)
    for record in records:
        entry = ElementTree.SubElement(root, "object")
        _add(entry, name=names[record["category_id"]], pose="Unspecified", truncated=0, difficult=record["iscrowd"])
        x, y, across, down = record["bbox"]
        box = ElementTree.SubElement(entry, "bndbox")
        _add(box, xmin=round(x) + 1, ymin=round(y) + 1, xmax=round(x + across), ymax=round(y + down))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, **values: Any) -> None:
    for name, value in values.items():
        ElementTree.SubElement(parent, name).text = str(value)


def _write_mask(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    picture.putpalette(voc_colours().tobytes())
    picture.save(file, format="png")


def _write_lists(folder: Path, name: str, lines: Sequence[str]) -> None:
    for kind in ("Segmentation", "Main"):
        write_text(folder / "ImageSets" / kind / f"{name}.txt", "".join(lines))


def _write_names(categories: Sequence[Category], table: np.ndarray, folder: Path) -> None:
    named = sorted((int(table[label]), category.name) for label, category in enumerate(categories))
    names = [BACKGROUND, *(name for value, name in named if value)]
    if any(":" in name for name in names):
        write_text(folder / "classes.txt", "".join(f"{name}\n" for name in names))
        return
    colours = [*zip(names, voc_colours(), strict=False), ("ignored", voc_colours()[IGNORE])]
    lines = [f"{name}:{','.join(map(str, colour))}::\n" for name, colour in colours]
    write_text(folder / "labelmap.txt", "# label:color_rgb:parts:actions\n" + "".join(lines))

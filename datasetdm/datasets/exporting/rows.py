"""The annotation of an image as a row of plain values, for the formats that Hugging Face's `datasets` reads."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from datasetdm.annotations.sample import Attribution
from datasetdm.datasets.exporting.contents import Item
from datasetdm.datasets.exporting.exporting import Export
from datasetdm.datasets.exporting.objects import Record, labels_by_id, records_of

Row = dict[str, Any]

#: Task -> the name of the map that its annotation is; `map` for others whose annotation is one.
_MAPS = {"semantic": "mask", "depth": "depth"}


def map_name(export: Export) -> str | None:
    """The name of the map that annotations are; None if they are objects, which are in the row itself."""
    return None if export.contents.codec is None else _MAPS.get(export.contents.task, "map")


def row_of(export: Export, item: Item) -> Row:
    """What is known of an image.

    Returns:
        `image_id`, `width`, `height`, `caption`, `benchmark`, `set`, `license`, and `objects`: lists of equal length
        under COCO's keys, with `category` (the label, from 0), `category_id`, `bbox`, `area`, `iscrowd`, `score` and
        `segmentation` (compressed RLE), for poses `keypoints` (K x 3) and `num_keypoints`. A value is of the same type
        in every row, as readers infer types from some rows.
    """
    height, width = item.size
    row: Row = {
        "image_id": item.id,
        "width": width,
        "height": height,
        "caption": item.caption,
        "benchmark": item.benchmark,
        "set": item.set,
        "license": "; ".join(dict.fromkeys(filter(None, map(_terms, item.attribution)))),
    }
    return row if map_name(export) else row | {"objects": objects_of(export, item)}


def objects_of(export: Export, item: Item) -> Row:
    """The objects of an image, as in `row_of`."""
    return _OBJECTS[export.contents.task](export, item)


def facts_of(item: Item) -> Row:
    """The further facts, which some images have, as a text in JSON: one type, whatever an image has."""
    return {"facts": json.dumps(dict(item.columns), ensure_ascii=False, allow_nan=False)}


def _terms(attribution: Attribution) -> str:
    """The licence of an image in a text: its name and address."""
    return " ".join(str(attribution.license[key]) for key in ("name", "url") if attribution.license.get(key))


def _objects(export: Export, item: Item) -> Row:
    records = records_of(export, item)
    label_of = labels_by_id(export.categories)
    return {
        "category": [label_of[record["category_id"]] for record in records],
        **{key: [record[key] for record in records] for key in ("category_id", "iscrowd")},
        "bbox": [[float(side) for side in record["bbox"]] for record in records],
        "area": [float(record["area"]) for record in records],
        "score": [float(record.get("score", 1)) for record in records],
        "segmentation": [record["segmentation"] for record in records],
    }


def _poses(export: Export, item: Item) -> Row:
    records = records_of(export, item)
    return _objects(export, item) | {
        "keypoints": [_triples(record) for record in records],
        "num_keypoints": [record["num_keypoints"] for record in records],
    }


def _triples(record: Record) -> Sequence[Sequence[float]]:
    values = [float(value) for value in record["keypoints"]]
    return [values[start : start + 3] for start in range(0, len(values), 3)]


_OBJECTS: dict[str, Callable[[Export, Item], Row]] = {"instance": _objects, "pose": _poses}

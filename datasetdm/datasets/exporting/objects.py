"""The objects of an image, of whatever kind, as COCO's records: the form in which all formats of objects take them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.sample import Category
from datasetdm.datasets.exporting.contents import Item
from datasetdm.datasets.exporting.exporting import Export
from datasetdm.datasets.standard.coco_keypoints import keypoint_names, pose_record
from datasetdm.datasets.standard.coco_writing import category_record, judgement_record, object_records
from datasetdm.datasets.standard.masks import decode_mask

Record = dict[str, Any]


def records_of(export: Export, item: Item) -> list[Record]:
    """COCO's annotation records of an image, without ids.

    Each has `image_id`, `category_id`, `iscrowd`, `area`, `bbox` and `segmentation` (compressed RLE), a pose also
    `keypoints` and `num_keypoints`, and a prediction `score`. Objects without a pixel are left out.
    """
    return list(_RECORDS[export.contents.task](item, export.categories))


def image_record_of(export: Export, item: Item) -> Record:
    """What COCO's record of the image says of its objects, in LVIS's keys; nothing where all categories were judged."""
    target = item.target
    return judgement_record(target, export.categories) if isinstance(target, Instances) else {}


def category_records(export: Export) -> list[Record]:
    """COCO's records of the categories."""
    return [category_record(category) | _EXTRA.get(export.contents.task, {}) for category in export.categories]


def labels_by_id(categories: Sequence[Category]) -> Mapping[int, int]:
    """Label by category id."""
    return {category.id: label for label, category in enumerate(categories)}


def mask_of(record: Record) -> np.ndarray:
    """The mask of a record, bool, H x W."""
    return decode_mask(record["segmentation"], *record["segmentation"]["size"])


def without_crowds(export: Export, records: Iterable[Record]) -> Iterator[Record]:
    """The records of single objects; crowd regions are counted as lost."""
    for record in records:
        if record["iscrowd"]:
            export.lose("crowd regions: left out, as the format would take each for one object")
        else:
            yield record


def _persons(item: Item, categories: Sequence[Category]) -> Iterator[Record]:
    persons: Persons = item.target
    persons = persons.select(np.flatnonzero(_areas(persons) > 0))
    records = object_records(persons.as_instances(), item.id, categories)
    for record, points, box in zip(records, persons.keypoints, persons.boxes, strict=True):
        yield record | pose_record(points, box)


def _areas(persons: Persons) -> np.ndarray:
    masks: Any = persons.masks
    return masks.areas if hasattr(masks, "areas") else masks.sum(axis=(1, 2))


_RECORDS: dict[str, Callable[[Item, Sequence[Category]], Iterable[Record]]] = {
    "instance": lambda item, categories: object_records(item.target, item.id, categories),
    "pose": _persons,
}
_EXTRA: dict[str, Record] = {"pose": keypoint_names()}

"""The records of a COCO annotation file, checked one by one before anything is done with them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasetdm.annotations.sample import Category
from datasetdm.datasets.standard.attribution import AttributionReader
from datasetdm.datasets.standard.coco_annotations import LARGEST_SIDE, Annotation, LoadReport, group_annotations
from datasetdm.datasets.standard.record_checks import bad_record, check_unique, checked_value, name_of, shortened
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json, read_long_json
from datasetdm.utils.paths import check_name

INCOMPLETE = "If it was downloaded, fetch it again; otherwise compare it with the path in params.yaml."
FREQUENCIES = ("r", "c", "f")  # LVIS: rare, common, frequent
NEGATIVE = "neg_category_ids"  # LVIS: looked for in the image and not there
NOT_EXHAUSTIVE = "not_exhaustive_category_ids"  # LVIS: there, but not every object of them is annotated


@dataclass(frozen=True, kw_only=True)
class Records:
    """A checked annotation file.

    Attributes:
        images: image records, sorted by id.
        annotations: for each image its annotations, in file order.
        categories: sorted by id.
        report: what was clipped and left out.
        attribution: what the file says of the origin and licence of an image record.
    """

    images: list[dict[str, Any]]
    annotations: list[list[Annotation]]
    categories: tuple[Category, ...]
    report: LoadReport
    attribution: AttributionReader


def read_records(file: Path, locate: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> Records:
    """Read and check a file of object instances.

    Args:
        file: JSON in COCO's format.
        locate: gives an image record (not checked yet) its `file_name`, in data sets that have it elsewhere.

    Raises:
        DatasetDMError: missing or broken file, missing keys, duplicate ids or file names, annotations of unknown
            images or categories, masks outside their image or for another size. It names the entry.
    """
    content, records = read_long_json(file, "annotations", Annotation, remedy=INCOMPLETE)
    if not isinstance(content, dict):
        raise DatasetDMError(f"{file} is JSON but no COCO annotation file. {INCOMPLETE}")
    categories = _categories(file, checked_value(file, "the file", content, "categories", list))
    category_ids = {category.id for category in categories}
    images = checked_value(file, "the file", content, "images", list)
    if locate is not None:
        images = [locate(record) if isinstance(record, dict) else record for record in images]
    images = _images(file, images, category_ids)
    checked_value(file, "the file", content, "annotations", list)
    grouped, report = group_annotations(file, records, images, category_ids)
    return Records(
        images=images,
        annotations=grouped,
        categories=categories,
        report=report,
        attribution=AttributionReader(content),
    )


def read_captions(file: Path) -> dict[int, tuple[str, ...]]:
    """Captions per image id, in the order of their own ids; images without one are absent."""
    content = read_json(file, remedy=INCOMPLETE)
    if not isinstance(content, dict):
        raise DatasetDMError(f"{file} is JSON but no COCO annotation file. {INCOMPLETE}")
    records = checked_value(file, "the file", content, "annotations", list)
    for record in records:
        for key, kind in (("id", int), ("image_id", int), ("caption", str)):
            checked_value(file, "caption", record, key, kind)
    captions: dict[int, tuple[str, ...]] = {}
    for record in sorted(records, key=lambda record: record["id"]):
        text = " ".join(record["caption"].split())
        if text:
            captions[record["image_id"]] = (*captions.get(record["image_id"], ()), text)
    return captions


def _categories(file: Path, records: list[Any]) -> tuple[Category, ...]:
    categories = []
    for record in records:
        identity = checked_value(file, "category", record, "id", int)
        name = " ".join(checked_value(file, "category", record, "name", str).split())
        if not name or not name.isprintable() or ";" in name:
            where = name_of(record, "category")
            raise bad_record(file, where, f"has the name {name!r}; a name needs plain letters and may not hold ';'")
        categories.append(
            Category(
                id=identity,
                name=name,
                supercategory=_supercategory(record),
                frequency=_frequency(record),
                synonyms=_synonyms(record),
            )
        )
    check_unique(file, "category id", [category.id for category in categories])
    check_unique(file, "category name", [category.name for category in categories])
    if not categories:
        raise DatasetDMError(f"{file} has no categories: it is not a file of object instances. {INCOMPLETE}")
    return tuple(sorted(categories, key=lambda category: category.id))


def _synonyms(record: dict[str, Any]) -> tuple[str, ...]:
    """LVIS's other names of the category."""
    value = record.get("synonyms")
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()


def _supercategory(record: dict[str, Any]) -> str:
    value = record.get("supercategory")
    return value if isinstance(value, str) and value.isprintable() else ""


def _frequency(record: dict[str, Any]) -> str:
    value = record.get("frequency")
    return value if isinstance(value, str) and value in FREQUENCIES else ""


def _images(file: Path, records: list[Any], category_ids: set[int]) -> list[dict[str, Any]]:
    for record in records:
        identity = checked_value(file, "image", record, "id", int)
        where = name_of(record, "image")
        if identity < 0:
            raise bad_record(file, where, "has a negative id")
        check_name(checked_value(file, "image", record, "file_name", str), where=f"{file}, {where}")
        for side in ("height", "width"):
            if not 1 <= checked_value(file, "image", record, side, int) <= LARGEST_SIDE:
                raise bad_record(
                    file, where, f"has the {side} {record[side]}; it must lie in 1 to {LARGEST_SIDE} pixels"
                )
        if not isinstance(record.get("caption", ""), str):
            raise bad_record(file, where, "has a 'caption' that is no text")
        for key in (NEGATIVE, NOT_EXHAUSTIVE):
            for category_id in checked_value(file, "image", record, key, list) if key in record else ():
                if type(category_id) is not int or category_id not in category_ids:
                    raise bad_record(file, where, f"has {shortened(category_id)} in '{key}', a category the file lacks")
    check_unique(file, "image id", [record["id"] for record in records])
    check_unique(file, "file name", [record["file_name"] for record in records])
    return sorted(records, key=lambda record: record["id"])

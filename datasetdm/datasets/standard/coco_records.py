"""The records of a COCO annotation file, checked one by one before anything is done with them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasetdm.annotations.sample import Category
from datasetdm.datasets.split import Rejection
from datasetdm.datasets.standard.attribution import AttributionReader
from datasetdm.datasets.standard.masks import Outside, check_segmentation, is_drawable, pack
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json, read_long_json
from datasetdm.utils.paths import check_name

INCOMPLETE = "If it was downloaded, fetch it again; otherwise compare it with the path in params.yaml."
LARGEST_SIDE = 65_535
FREQUENCIES = ("r", "c", "f")  # LVIS: rare, common, frequent
NEGATIVE = "neg_category_ids"  # LVIS: looked for in the image and not there
NOT_EXHAUSTIVE = "not_exhaustive_category_ids"  # LVIS: there, but not every object of them is annotated
_KINDS = {int: "a whole number", str: "text", list: "a list", dict: "a record"}


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What was found while an annotation file was read.

    Attributes:
        annotations: annotations that are used, those with a box alone among them.
        clipped: those of them that reach more than a pixel over the border; drawn up to the border.
        boxes_only: ids of those that have a box, but no mask.
        rejected: annotations left out because they have neither.
    """

    annotations: int
    clipped: int
    boxes_only: frozenset[int]
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, kw_only=True)
class Records:
    """A checked annotation file.

    Attributes:
        images: image records, sorted by id.
        annotations: for each image its annotation records, in file order.
        categories: sorted by id.
        report: what was clipped and left out.
        attribution: what the file says of the origin and licence of an image record.
    """

    images: list[dict[str, Any]]
    annotations: list[list[dict[str, Any]]]
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
    content, records = read_long_json(file, "annotations", remedy=INCOMPLETE)
    if not isinstance(content, dict):
        raise DatasetDMError(f"{file} is JSON but no COCO annotation file. {INCOMPLETE}")
    categories = _categories(file, _value(file, "the file", content, "categories", list))
    category_ids = {category.id for category in categories}
    images = _value(file, "the file", content, "images", list)
    if locate is not None:
        images = [locate(record) if isinstance(record, dict) else record for record in images]
    images = _images(file, images, category_ids)
    if not records:
        _value(file, "the file", content, "annotations", list)
    grouped, report = _annotations(file, records, images, category_ids)
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
    records = _value(file, "the file", content, "annotations", list)
    for record in records:
        for key, kind in (("id", int), ("image_id", int), ("caption", str)):
            _value(file, "caption", record, key, kind)
    captions: dict[int, tuple[str, ...]] = {}
    for record in sorted(records, key=lambda record: record["id"]):
        text = " ".join(record["caption"].split())
        if text:
            captions[record["image_id"]] = (*captions.get(record["image_id"], ()), text)
    return captions


def _categories(file: Path, records: list[Any]) -> tuple[Category, ...]:
    categories = []
    for record in records:
        identity = _value(file, "category", record, "id", int)
        name = " ".join(_value(file, "category", record, "name", str).split())
        if not name or not name.isprintable() or ";" in name:
            where = _where(record, "category")
            raise _bad(file, where, f"has the name {name!r}; a name needs plain letters and may not hold ';'")
        categories.append(
            Category(
                id=identity,
                name=name,
                supercategory=_supercategory(record),
                frequency=_frequency(record),
                synonyms=_synonyms(record),
            )
        )
    _unique(file, "category id", (category.id for category in categories))
    _unique(file, "category name", (category.name for category in categories))
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
        identity = _value(file, "image", record, "id", int)
        where = _where(record, "image")
        if identity < 0:
            raise _bad(file, where, "has a negative id")
        check_name(_value(file, "image", record, "file_name", str), where=f"{file}, {where}")
        for side in ("height", "width"):
            if not 1 <= _value(file, "image", record, side, int) <= LARGEST_SIDE:
                raise _bad(file, where, f"has the {side} {record[side]}; it must lie in 1 to {LARGEST_SIDE} pixels")
        if not isinstance(record.get("caption", ""), str):
            raise _bad(file, where, "has a 'caption' that is no text")
        for key in (NEGATIVE, NOT_EXHAUSTIVE):
            for category_id in _value(file, "image", record, key, list) if key in record else ():
                if type(category_id) is not int or category_id not in category_ids:
                    raise _bad(file, where, f"has {_shortened(category_id)} in '{key}', a category the file lacks")
    _unique(file, "image id", (record["id"] for record in records))
    _unique(file, "file name", (record["file_name"] for record in records))
    return sorted(records, key=lambda record: record["id"])


def _annotations(
    file: Path, records: Iterable[Any], images: list[dict[str, Any]], category_ids: set[int]
) -> tuple[list[list[dict[str, Any]]], LoadReport]:
    index_of = {image["id"]: index for index, image in enumerate(images)}
    grouped: list[list[dict[str, Any]]] = [[] for _ in images]
    clipped, boxes_only, rejected = 0, [], []
    identities: list[int] = []
    for record in records:
        identity = _value(file, "annotation", record, "id", int)
        image_id = _value(file, "annotation", record, "image_id", int)
        if image_id not in index_of:
            raise _bad_annotation(file, record, f"points to the image {image_id}, which the file does not list")
        if _value(file, "annotation", record, "category_id", int) not in category_ids:
            raise _bad_annotation(
                file, record, f"has the category {record['category_id']}, which the file does not list"
            )
        if record.get("iscrowd", 0) not in (0, 1):
            raise _bad_annotation(file, record, f"has iscrowd {record['iscrowd']!r}; it must be 0 or 1")
        score = record.get("score", 1)
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise _bad_annotation(file, record, f"has the score {score!r}; it must lie in 0 to 1")
        segmentation = segmentation_of(record)
        if "segmentation" not in record and "bbox" not in record:
            raise _bad_annotation(file, record, "has neither a 'segmentation' nor a 'bbox'")
        image = images[index_of[image_id]]
        try:
            clipped += check_segmentation(segmentation, image["height"], image["width"])
        except Outside as error:
            raise _outside(file, record, image, error) from None
        except ValueError as error:
            raise _bad_annotation(file, record, f"of {image['file_name']}: {error}") from None
        identities.append(identity)
        if is_drawable(segmentation):
            grouped[index_of[image_id]].append({**record, "segmentation": pack(segmentation)})
        elif _has_area(record.get("bbox")):
            grouped[index_of[image_id]].append(record)
            boxes_only.append(identity)
        else:
            rejected.append(
                Rejection(annotation_id=identity, image_id=image_id, reason="without a polygon of three points")
            )
    _unique(file, "annotation id", identities)
    used = len(identities) - len(rejected)
    report = LoadReport(annotations=used, clipped=clipped, boxes_only=frozenset(boxes_only), rejected=tuple(rejected))
    return grouped, report


def segmentation_of(record: dict[str, Any]) -> Any:
    """The segmentation; an empty list for the ways in which exports say that there is none."""
    segmentation = record.get("segmentation")
    return [] if segmentation in (None, [], [[]], {}, "") else segmentation


def _has_area(box: Any) -> bool:
    """Whether it is a box of four numbers (x, y, width, height) that covers something."""
    if not isinstance(box, list) or len(box) != 4:
        return False
    if not all(type(side) in (int, float) and abs(side) <= 2 * LARGEST_SIDE for side in box):
        return False
    return bool(box[2] > 0 and box[3] > 0)


def _value(file: Path, what: str, record: Any, key: str, kind: type) -> Any:
    """`record[key]`, which must be of exactly this type (a boolean is not a number); `what` the record is."""
    if not isinstance(record, dict):
        raise _bad(file, _where(record, what), "is not a record")
    if key not in record:
        raise _bad(file, _where(record, what), f"has no '{key}'")
    if type(record[key]) is not kind:
        raise _bad(
            file, _where(record, what), f"has the '{key}' {_shortened(record[key])}, which is not {_KINDS[kind]}"
        )
    return record[key]


def _unique(file: Path, what: str, values: Iterable[Any]) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise DatasetDMError(
                f"{file}: the {what} {value!r} is used twice. If several files were merged, renumber the "
                "entries; otherwise remove one of the two."
            )
        seen.add(value)


def _where(record: Any, what: str) -> str:
    if not isinstance(record, dict):
        return f"{what} {_shortened(record)}"
    return f"{what} {_shortened(record['id'])}" if "id" in record else f"{what} without id"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _bad(file: Path, where: str, what: str, remedy: str = "Correct or remove that entry.") -> DatasetDMError:
    return DatasetDMError(f"{file}: {where} {what}. {remedy}")


def _bad_annotation(file: Path, record: dict[str, Any], what: str) -> DatasetDMError:
    return _bad(file, _where(record, "annotation"), what)


def _outside(file: Path, record: dict[str, Any], image: dict[str, Any], error: Outside) -> DatasetDMError:
    return _bad(
        file,
        _where(record, "annotation"),
        f"does not lie in its image: {error}, while {image['file_name']} is {image['width']} x {image['height']} "
        "pixels",
        "Correct or remove that entry; if the images were resized, the annotations must be scaled with them.",
    )

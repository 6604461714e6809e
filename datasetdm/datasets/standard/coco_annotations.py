"""The annotations of a COCO file: checked while they are read, and put to their images."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from datasetdm.datasets.split import Rejection
from datasetdm.datasets.standard.masks import Outside, check_many_polygons, check_segmentation, is_drawable
from datasetdm.datasets.standard.record_checks import bad_record, check_unique, checked_value, name_of
from datasetdm.errors import DatasetDMError
from datasetdm.utils.batches import batches

LARGEST_SIDE = 65_535
_AT_A_TIME = 4096  # records
_NOTHING = msgspec.Raw()
_SHAPE: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[list[float]] | dict[str, Any])


class Annotation(msgspec.Struct, gc=False):
    """An annotation record.

    What takes much room, and is asked for of few records, stays the text of the file: COCO's 860 000 annotations take
    0.7 GB, the file with them, where lists and dictionaries would take three times as much.

    Attributes:
        id: its own.
        image_id: of its image.
        category_id: of its category.
        iscrowd: 1 of a crowd region.
        score: of a prediction, in [0, 1].
        bbox: JSON text, empty where the record has none; see `box`.
        segmentation: likewise; see `shape`.
        keypoints: likewise; see `points`.
    """

    id: int
    image_id: int
    category_id: int
    iscrowd: Literal[0, 1] = 0
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    bbox: msgspec.Raw = _NOTHING
    segmentation: msgspec.Raw = _NOTHING
    keypoints: msgspec.Raw = _NOTHING

    def shape(self) -> Any:
        """Polygons or RLE; an empty list for the ways in which exports say that there is none."""
        if not self.segmentation:
            return []
        try:
            shape = _SHAPE.decode(self.segmentation)
        except msgspec.ValidationError:
            shape = msgspec.json.decode(self.segmentation)
        return _without_empty(shape)

    def box(self) -> Any:
        """The `bbox`, whatever it is; None if there is none."""
        return _parsed(self.bbox)

    def points(self) -> Any:
        """The `keypoints`, whatever they are; None if there are none."""
        return _parsed(self.keypoints)


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


def group_annotations(
    file: Path, records: Iterable[Any], images: list[dict[str, Any]], category_ids: set[int]
) -> tuple[list[list[Annotation]], LoadReport]:
    """Check annotation records and put them to their images.

    Args:
        file: where they come from, for messages.
        records: each an `Annotation`, or what JSON has in its place.
        images: checked image records.
        category_ids: those that there are.

    Returns:
        For each image its annotations, in file order; and what was clipped and left out.

    Raises:
        DatasetDMError: what is wrong with which record.
    """
    found = _Grouping(file, images, category_ids)
    for some in batches(records, _AT_A_TIME):
        found.add(some)
    return found.groups, found.report()


#: An annotation, the position of its image, whether it is clipped there, and whether it can be drawn.
_Seen = tuple[Annotation, int, bool, bool]


class _Grouping:
    """Annotations by image, and the report of them, while they are read."""

    def __init__(self, file: Path, images: list[dict[str, Any]], category_ids: set[int]) -> None:
        self.groups: list[list[Annotation]] = [[] for _ in images]
        self._file, self._images, self._category_ids = file, images, category_ids
        self._index_of = {image["id"]: index for index, image in enumerate(images)}
        self._sizes = np.array([(image["width"], image["height"]) for image in images], dtype=np.int64).reshape(-1, 2)
        self._identities: list[int] = []
        self._boxes_only: list[int] = []
        self._rejected: list[Rejection] = []
        self._clipped = 0

    def add(self, records: list[Any]) -> None:
        """Nearly all records pass at a glance; where one does not, a closer look at each says what is wrong."""
        for annotation, index, clipped, drawable in self._at_a_glance(records) or map(self._closely, records):
            self._identities.append(annotation.id)
            self._clipped += clipped
            if drawable:
                self.groups[index].append(annotation)
            elif _has_area(annotation.box()):
                self.groups[index].append(annotation)
                self._boxes_only.append(annotation.id)
            else:
                reason = "without a polygon of three points"
                self._rejected.append(
                    Rejection(annotation_id=annotation.id, image_id=annotation.image_id, reason=reason)
                )

    def report(self) -> LoadReport:
        check_unique(self._file, "annotation id", self._identities)
        return LoadReport(
            annotations=len(self._identities) - len(self._rejected),
            clipped=self._clipped,
            boxes_only=frozenset(self._boxes_only),
            rejected=tuple(self._rejected),
        )

    def _at_a_glance(self, records: list[Any]) -> Iterable[_Seen] | None:
        """What `_closely` says of each record, in a fifth of the time; None if it would refuse any."""
        if not all(type(record) is Annotation and (record.segmentation or record.bbox) for record in records):
            return None
        if not self._category_ids.issuperset([record.category_id for record in records]):
            return None
        indices = [self._index_of.get(record.image_id, -1) for record in records]
        if -1 in indices:
            return None
        sizes = self._sizes[indices]
        try:
            shapes = [_SHAPE.decode(record.segmentation) if record.segmentation else [] for record in records]
            runs = [isinstance(shape, dict) for shape in shapes]
            for number in np.flatnonzero(runs).tolist():
                check_segmentation(shapes[number], int(sizes[number, 1]), int(sizes[number, 0]))
            polygons = [[] if run else shape for run, shape in zip(runs, shapes, strict=True)]
            seen = check_many_polygons(polygons, sizes)
        except ValueError:  # of another structure (msgspec's errors are among these), or outside
            return None
        if seen is None:
            return None
        return zip(records, indices, seen[0].tolist(), (seen[1] | np.array(runs)).tolist(), strict=True)

    def _closely(self, record: Any) -> _Seen:
        """The same of one record, or the DatasetDMError that says what is wrong with it."""
        if type(record) is Annotation:
            record = _as_record(record)
        image_id = [self._whole(record, key) for key in ("id", "image_id")][1]
        if image_id not in self._index_of:
            raise self._bad(record, f"points to the image {image_id}, which the file does not list")
        if self._whole(record, "category_id") not in self._category_ids:
            raise self._bad(record, f"has the category {record['category_id']}, which the file does not list")
        if record.get("iscrowd", 0) not in (0, 1):
            raise self._bad(record, f"has iscrowd {record['iscrowd']!r}; it must be 0 or 1")
        score = record.get("score", 1)
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise self._bad(record, f"has the score {score!r}; it must lie in 0 to 1")
        if "segmentation" not in record and "bbox" not in record:
            raise self._bad(record, "has neither a 'segmentation' nor a 'bbox'")
        index, shape = self._index_of[image_id], _without_empty(record.get("segmentation"))
        clipped = self._check_shape(record, shape, self._images[index])
        return self._annotation(record), index, clipped, is_drawable(shape)

    def _whole(self, record: Any, key: str) -> int:
        number: int = checked_value(self._file, "annotation", record, key, int)
        return number

    def _check_shape(self, record: dict[str, Any], shape: Any, image: dict[str, Any]) -> bool:
        """Whether it is clipped."""
        try:
            return check_segmentation(shape, image["height"], image["width"])
        except Outside as error:
            found = (
                f"does not lie in its image: {error}, while {image['file_name']} is {image['width']} x "
                f"{image['height']} pixels"
            )
            remedy = (
                "Correct or remove that entry; if the images were resized, the annotations must be scaled with them."
            )
            raise bad_record(self._file, name_of(record, "annotation"), found, remedy) from None
        except ValueError as error:
            raise self._bad(record, f"of {image['file_name']}: {error}") from None

    def _annotation(self, record: dict[str, Any]) -> Annotation:
        try:
            texts = {
                key: msgspec.Raw(msgspec.json.encode(record[key]))
                for key in ("bbox", "segmentation", "keypoints")
                if key in record
            }
        except (TypeError, ValueError, OverflowError, RecursionError) as error:  # such as half a letter in a text
            raise self._bad(record, f"holds something that cannot be written as JSON ({error})") from None
        return Annotation(
            id=record["id"],
            image_id=record["image_id"],
            category_id=record["category_id"],
            iscrowd=1 if record.get("iscrowd", 0) else 0,
            score=float(record.get("score", 1)),
            **texts,
        )

    def _bad(self, record: Any, what: str) -> DatasetDMError:
        return bad_record(self._file, name_of(record, "annotation"), what)


def _as_record(annotation: Annotation) -> dict[str, Any]:
    """The record as JSON has it."""
    fields = msgspec.structs.asdict(annotation)
    return {
        key: msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
        for key, value in fields.items()
        if value != _NOTHING
    }


def _parsed(text: msgspec.Raw) -> Any:
    return msgspec.json.decode(text) if text else None


def _without_empty(shape: Any) -> Any:
    return [] if shape in (None, [], [[]], {}, "") else shape


def _has_area(box: Any) -> bool:
    """Whether it is a box of four numbers (x, y, width, height) that covers something."""
    if not isinstance(box, list) or len(box) != 4:
        return False
    if not all(type(side) in (int, float) and abs(side) <= 2 * LARGEST_SIDE for side in box):
        return False
    return bool(box[2] > 0 and box[3] > 0)

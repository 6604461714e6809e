"""COCO person keypoints: https://cocodataset.org/#format-data.

Whole numbers of a keypoint are centres of pixels, as COCO's keypoints name pixels and OpenCV's maps move them; boxes
and polygons are measured from the image's edge, so that a box from 0 to 1 is the first pixel.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import KEYPOINTS, SKELETON, Persons, inside_image
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.split import Rejection, Tally
from datasetdm.datasets.standard.coco import CocoSplit
from datasetdm.datasets.standard.coco_annotations import Annotation
from datasetdm.datasets.standard.coco_records import INCOMPLETE, Records, read_captions, read_records
from datasetdm.datasets.standard.coco_writing import save_coco
from datasetdm.datasets.standard.described import Described
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json, replacing


class CocoKeypointSplit(Sequence[Sample]):
    """The images of a keypoint file with their persons, sorted by image id; images without persons are kept.

    A labelled keypoint that lies outside its image becomes unlabelled, and `rejections_of` lists it. A pose needs no
    mask: a person without one gets its box as mask.

    Attributes:
        objects: the same persons as plain objects, which reads the masks and the images.
        categories: "person" alone.
    """

    def __init__(
        self, annotation_file: Path, images_dir: Path, records: Records, captions: dict[int, tuple[str, ...]]
    ) -> None:
        self.objects = CocoSplit(annotation_file, images_dir, records, captions, boxes_as_masks=True)
        self.annotation_file = annotation_file
        self.images_dir = images_dir
        self.categories: tuple[Category, ...] = records.categories
        self._records = records.annotations
        self._poses = [
            [_pose(annotation_file, record, image) for record in group]
            for image, group in zip(records.images, records.annotations, strict=True)
        ]

    @property
    def crowds(self) -> Literal["ignore", "as_objects"]:
        """See `Split.crowds`."""
        return self.objects.crowds

    @crowds.setter
    def crowds(self, value: Literal["ignore", "as_objects"]) -> None:
        self.objects.crowds = value

    def __len__(self) -> int:
        return len(self._poses)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Read a sample (or several).

        Raises:
            DatasetDMError: the image is missing, damaged, or of another size than its record; damaged RLE.
        """
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        sample = self.objects[index]
        return replace(sample, target=self._persons(index, sample.target))

    def encoded_target(self, index: int) -> Persons:
        """As `target_of`, with masks that are still encoded (`EncodedMasks`)."""
        return self._persons(index, self.objects.encoded_target(index))

    def compact(self, index: int) -> Sample:
        """See `Split.compact`."""
        sample = self.objects.compact(index)
        return replace(sample, target=self._persons(index, sample.target))

    def described(self, index: int) -> Described:
        """See `CocoSplit.described`."""
        found = self.objects.described(index)
        return replace(found, target=self._persons(index, found.target))

    def name_of(self, index: int) -> str:
        """A name that includes the native folder: `train2017_000000000009.jpg`."""
        return self.objects.name_of(index)

    def id_of(self, index: int) -> int:
        """The id of the image; see `CocoSplit.id_of`."""
        return self.objects.id_of(index)

    def path_of(self, index: int) -> Path:
        """The image file."""
        return self.objects.path_of(index)

    def image_of(self, index: int) -> np.ndarray:
        """The image alone (uint8, H x W x 3), which has to be of its record's size, as when a sample is read."""
        return self.objects.image_of(index)

    def captions_of(self, index: int) -> tuple[str, ...]:
        """All captions of an image, possibly none."""
        return self.objects.captions_of(index)

    def group_of(self, index: int) -> str:
        """The image's own name; see `CocoSplit.group_of`."""
        return self.objects.group_of(index)

    def labels_of(self, index: int) -> tuple[int, ...]:
        """A zero for every person with a labelled keypoint: the others teach no pose."""
        return (0,) * len(self.poses_of(index)[0])

    def poses_of(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints (float32, N x 17 x 3) and boxes (float32, N x 4) of the persons with a labelled keypoint, crowds
        aside; neither image nor masks are read."""
        useful = [
            (points, record.box())
            for points, record in zip(self._poses[index], self._records[index], strict=True)
            if points[:, 2].any() and not self.objects.is_ignored(record)
        ]
        return _stack([points for points, _ in useful], (len(KEYPOINTS), 3)), _stack([box for _, box in useful], (4,))

    def tally_of(self, index: int) -> Tally:
        """See `Split.tally_of`."""
        return self.objects.tally_of(index)

    def target_of(self, index: int) -> Persons:
        """The persons of an image, without those that cover no pixel."""
        return self._persons(index, self.objects.target_of(index))

    def rejections_of(self, index: int) -> tuple[Rejection, ...]:
        """What is left out: persons without a pixel, and keypoints outside the image."""
        outside = [
            Rejection(
                annotation_id=record.id,
                image_id=record.image_id,
                reason=f"keypoint {KEYPOINTS[k]} outside the image",
                partly=True,
            )
            for points, record in zip(self._poses[index], self._records[index], strict=True)
            for k in np.flatnonzero((points[:, 2] == 0) & (np.array(record.points()[2::3]) > 0))
        ]
        return (*self.objects.rejections_of(index), *outside)

    def _persons(self, index: int, drawn: Instances) -> Persons:
        records, poses = self._records[index], self._poses[index]
        if len(drawn) < len(records):
            dropped = {item.annotation_id for item in self.objects.rejections_of(index)}
            kept = [n for n, record in enumerate(records) if record.id not in dropped]
            records, poses = [records[n] for n in kept], [poses[n] for n in kept]
        return Persons(
            keypoints=_stack(poses, (len(KEYPOINTS), 3)),
            boxes=_stack([record.box() for record in records], (4,)),
            masks=drawn.masks,
            scores=drawn.scores,
            crowd=drawn.crowd,
        )


def load_coco_keypoints(
    annotation_file: Path, images_dir: Path, captions_file: Path | None = None
) -> CocoKeypointSplit:
    """Open a COCO file of person keypoints.

    Args:
        annotation_file: JSON in COCO's format with one category, whose keypoints are COCO's 17.
        images_dir: folder of the images; read when samples are accessed.
        captions_file: JSON in COCO's captions format; its captions replace those in the records.

    Raises:
        DatasetDMError: missing or broken files, inconsistent records (see `read_records`), other keypoints than
            COCO's, coordinates that are not numbers, a keypoint or box that is not near its image.
    """
    if not images_dir.is_dir():
        raise DatasetDMError(
            f"The image folder {images_dir} is missing, though {annotation_file} is to be read with it. Put the "
            "images there, or correct the path."
        )
    _check_keypoint_names(annotation_file)
    captions = {} if captions_file is None else read_captions(captions_file)
    return CocoKeypointSplit(annotation_file, images_dir, read_records(annotation_file), captions)


def save_coco_keypoints(
    annotation_file: Path, images_dir: Path, samples: Iterable[Sample], categories: Sequence[Category]
) -> None:
    """Write samples with `Persons` as COCO person keypoints; else as `save_coco`.

    Raises:
        DatasetDMError: two samples of the same name or id, or a name that leads out of the folder.
        ValueError: keypoints whose third number is not a visibility (0, 1 or 2), such as a prediction's.
    """
    written: list[dict[str, Any]] = []
    with replacing(annotation_file) as temporary:
        save_coco(temporary, images_dir, _as_objects(samples, written), categories)
        content = json.loads(temporary.read_bytes())
        content["info"]["description"] = "Person keypoints written by DatasetDM"
        for record, pose in zip(content["annotations"], written, strict=True):
            record |= pose
        for record in content["categories"]:
            record |= keypoint_names()
        temporary.write_text(_one_record_per_line(content), encoding="ascii")


def _as_objects(samples: Iterable[Sample], written: list[dict[str, Any]]) -> Iterator[Sample]:
    """The samples as plain objects; what those lack goes to `written`, for each that `save_coco` will write."""
    for sample in samples:
        persons: Persons = sample.target
        persons = persons.select(np.flatnonzero([mask.any() for mask in persons.masks]))
        if not np.isin(persons.keypoints[..., 2], (0, 1, 2)).all():
            raise ValueError(f"{sample.name}: keypoints have a visibility of 0, 1 or 2; scores cannot be written")
        written += map(pose_record, persons.keypoints, persons.boxes)
        yield replace(sample, target=persons.as_instances())


def pose_record(points: np.ndarray, box: np.ndarray) -> dict[str, Any]:
    """What the record of a person has that other objects lack; keypoints K x 3, box x, y, width, height."""
    shown = np.where(points[:, 2:] > 0, points, 0)
    return {
        "bbox": [_decimal(value) for value in box],
        "keypoints": [number for x, y, flag in shown for number in (_decimal(x), _decimal(y), int(flag))],
        "num_keypoints": int((points[:, 2] > 0).sum()),
    }


def keypoint_names() -> dict[str, Any]:
    """What the record of the category has that others lack."""
    return {"keypoints": list(KEYPOINTS), "skeleton": [list(pair) for pair in SKELETON]}


def check_coco_keypoints(split: CocoKeypointSplit) -> dict[str, int]:
    """Look through a set; the number of `images`, `persons` (without crowds) and labelled `keypoints`.

    Neither images nor masks are decoded.

    Raises:
        DatasetDMError: what the loader refuses, or something that it leaves out, such as a labelled keypoint outside
            its image.
    """
    counts = {"images": 0, "persons": 0, "keypoints": 0}
    for index in range(len(split)):
        split.objects.check_image(index)
        persons = split.encoded_target(index)
        for rejection in split.rejections_of(index):
            raise DatasetDMError(
                f"{split.annotation_file}: annotation {rejection.annotation_id} of {split.objects.names[index]}: "
                f"{rejection.reason}. Make it again."
            )
        counts["images"] += 1
        counts["persons"] += int((~persons.crowd).sum())
        counts["keypoints"] += int((persons.keypoints[..., 2] > 0).sum())
    return counts


def _decimal(value: np.float32) -> float | int:
    """The shortest decimal that reads back as the same float32."""
    return int(value) if value == int(value) else float(str(np.float32(value)))


def _one_record_per_line(content: dict[str, Any]) -> str:
    """JSON whose files can be compared line by line; NaN is a ValueError."""
    parts = []
    for key, value in content.items():
        lines = ",\n".join(json.dumps(item, allow_nan=False) for item in value) if isinstance(value, list) else None
        text = json.dumps(value) if lines is None else f"[\n{lines}\n]" if lines else "[]"
        parts.append(f"{json.dumps(key)}: {text}")
    return "{" + ",\n".join(parts) + "}\n"


def _check_keypoint_names(file: Path) -> None:
    content = read_json(file, remedy=INCOMPLETE)
    categories = content.get("categories") if isinstance(content, dict) else None
    if not isinstance(categories, list) or len(categories) != 1 or not isinstance(categories[0], dict):
        raise DatasetDMError(f"{file} is no file of person keypoints: those have one category, 'person'. {INCOMPLETE}")
    names = categories[0].get("keypoints")
    if names != list(KEYPOINTS):
        raise DatasetDMError(
            f"{file}: the keypoints of '{categories[0].get('name')}' are not COCO's 17 in COCO's order, from nose to "
            "right_ankle. Bring each annotation's keypoints into that order, those without a counterpart as 0, 0, 0."
        )


def _pose(file: Path, record: Annotation, image: dict[str, Any]) -> np.ndarray:
    """Keypoints of a checked record, float32 17 x 3; those outside the image are unlabelled."""
    where = f"{file}: annotation {record.id} of {image['file_name']}"
    width, height = image["width"], image["height"]
    left, top, box_width, box_height = _numbers(record.box(), "bbox", 4, where)
    if box_width < 0 or box_height < 0 or not (-box_width <= left <= width and -box_height <= top <= height):
        raise DatasetDMError(
            f"{where} has the bbox {record.box()}, while the image is {width} x {height} pixels. Correct or remove "
            "that entry; if the images were resized, the annotations must be scaled with them."
        )
    points = np.array(_numbers(record.points(), "keypoints", 3 * len(KEYPOINTS), where), dtype=np.float32).reshape(
        -1, 3
    )
    x, y, flags = points.T
    if not np.isin(flags, (0, 1, 2)).all():
        raise DatasetDMError(f"{where} has a keypoint whose visibility is not 0, 1 or 2. Correct that entry.")
    labelled = flags > 0
    if (labelled & ((x < -width) | (y < -height) | (x > 2 * width) | (y > 2 * height))).any():
        raise DatasetDMError(
            f"{where} has a keypoint far outside the image ({width} x {height} pixels). Correct or remove that entry; "
            "if the images were resized, the annotations must be scaled with them."
        )
    points[~(labelled & inside_image(points, (height, width)))] = 0
    return points


def _numbers(values: Any, key: str, count: int, where: str) -> list[float]:
    if not isinstance(values, list) or len(values) != count:
        raise DatasetDMError(f"{where} has no '{key}' of {count} numbers. Correct or remove that entry.")
    try:
        finite = math.isfinite(sum(values))
    except (TypeError, OverflowError):
        finite = False
    if not finite:
        raise DatasetDMError(f"{where} has a '{key}' that holds something else than numbers. Correct that entry.")
    return values


def _stack(rows: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    return np.array(rows, dtype=np.float32).reshape(len(rows), *shape)

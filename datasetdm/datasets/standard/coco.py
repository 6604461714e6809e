"""COCO object instances: https://cocodataset.org/#format-data."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast, overload

import numpy as np

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.image_folder import check_complete, find_image, missing_images
from datasetdm.datasets.split import Rejection, Tally, size_remedy
from datasetdm.datasets.standard.coco_annotations import Annotation, LoadReport
from datasetdm.datasets.standard.coco_records import (
    NEGATIVE,
    NOT_EXHAUSTIVE,
    Records,
    read_captions,
    read_records,
)
from datasetdm.datasets.standard.described import Described
from datasetdm.datasets.standard.masks import EncodedMasks, areas_of_runs, encode_box, encode_runs
from datasetdm.errors import DatasetDMError
from datasetdm.utils.batches import batches
from datasetdm.utils.images import image_size, read_image

_AT_A_TIME = 1000  # images that are checked


class CocoSplit(Sequence[Sample]):
    """The images of an annotation file with their objects, sorted by image id.

    Masks and images are read when a sample is accessed; everything else is read at once. A box without a mask is a
    crowd region over the pixels of the box: it is not learnt as an object, and a detection there is not a mistake.

    Args:
        records: of the annotation file.
        captions: by image id.
        boxes_as_masks: use the box of an object without a mask as its mask.

    Attributes:
        annotation_file: where the records came from.
        images_dir: the folder of the images.
        categories: sorted by id; a label is an index into them.
        image_ids: id of each image.
        names: file name of each image, below `images_dir`.
        report: what was clipped and left out.
        crowds: what crowd regions are, see `Split.crowds`.
    """

    def __init__(
        self,
        annotation_file: Path,
        images_dir: Path,
        records: Records,
        captions: dict[int, tuple[str, ...]],
        *,
        boxes_as_masks: bool = False,
    ) -> None:
        self.annotation_file = annotation_file
        self.images_dir = images_dir
        self.categories: tuple[Category, ...] = records.categories
        self.image_ids: tuple[int, ...] = tuple(image["id"] for image in records.images)
        self.names: tuple[str, ...] = tuple(image["file_name"] for image in records.images)
        self.report: LoadReport = records.report
        self._images = records.images
        self._annotations = records.annotations
        self._captions = captions
        self._label_of = {category.id: label for label, category in enumerate(records.categories)}
        self._attribution = records.attribution
        self._boxes_as_masks = boxes_as_masks
        self._ignored_boxes = frozenset() if boxes_as_masks else records.report.boxes_only
        self._rejected: defaultdict[int, list[Rejection]] = defaultdict(list)
        for rejection in records.report.rejected:
            self._rejected[rejection.image_id].append(rejection)
        self._paths: dict[int, Path] = {}
        self.crowds: Literal["ignore", "as_objects"] = "ignore"

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """Read a sample (or several). The masks of its N objects take N x H x W bytes; see `compact`.

        Raises:
            DatasetDMError: the image is missing, damaged, or of another size than its record; damaged RLE.
        """
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        return self._sample(index, self.target_of(index))

    def compact(self, index: int) -> Sample:
        """See `Split.compact`."""
        return self._sample(index, self.encoded_target(index))

    def _sample(self, index: int, target: Instances) -> Sample:
        captions = self.captions_of(index)
        return Sample(
            name=self.names[index],
            image=self.image_of(index),
            caption=captions[0] if captions else "",
            target=target,
            image_id=self.image_ids[index],
            attribution=self._attribution.of(self._images[index]),
        )

    def described(self, index: int) -> Described:
        """A sample without its pixels, its masks still encoded; the image file is not opened."""
        record, captions = self._images[index], self.captions_of(index)
        return Described(
            name=self.names[index],
            path=self.path_of(index),
            size=(record["height"], record["width"]),
            caption=captions[0] if captions else "",
            target=self.encoded_target(index),
            attribution=self._attribution.of(record),
        )

    def labels_of(self, index: int) -> tuple[int, ...]:
        """Labels of the objects of an image, crowds aside, one per object; nothing is decoded."""
        crowds, boxes, label_of = self.crowds == "ignore", self._ignored_boxes, self._label_of
        return tuple(
            [
                label_of[record.category_id]
                for record in self._annotations[index]
                if not (record.iscrowd and crowds) and record.id not in boxes  # `is_ignored`, a hundred thousand times
            ]
        )

    def tally_of(self, index: int) -> Tally:
        """See `Split.tally_of`."""
        annotations, rejected = self._annotations[index], self._rejected.get(self.image_ids[index], ())
        crowds = sum([record.iscrowd for record in annotations]) if self.crowds == "ignore" else 0
        boxes = 0
        if self._ignored_boxes:
            boxes = sum(record.id in self._ignored_boxes and not self._is_crowd(record) for record in annotations)
        return Tally(
            objects=len(annotations) - crowds - boxes,
            crowds=crowds,
            boxes_only=boxes,
            rejected=Counter(item.reason for item in rejected) if rejected else {},
        )

    def _is_crowd(self, record: Annotation) -> bool:
        return self.crowds == "ignore" and bool(record.iscrowd)

    def is_ignored(self, record: Annotation) -> bool:
        """Whether it is a region to be passed over: a crowd, or a box of which nobody knows the mask."""
        return record.id in self._ignored_boxes or self._is_crowd(record)

    def captions_of(self, index: int) -> tuple[str, ...]:
        """All captions of an image, possibly none."""
        own = self._images[index].get("caption", "")
        return self._captions.get(self.image_ids[index], (own,) if own else ())

    def name_of(self, index: int) -> str:
        """A name that includes the native folder: `train2017_000000000009.jpg`."""
        return f"{self.images_dir.name}/{self.names[index]}".replace("/", "_")

    def id_of(self, index: int) -> int:
        """The id of the image; where a data set counts from 0, all ids move by one, as 0 stands for "no id yet"."""
        return self.image_ids[index] + (0 if self.image_ids[0] else 1)

    def path_of(self, index: int) -> Path:
        """The image file; DatasetDMError if its name leads out of `images_dir`."""
        if index not in self._paths:
            self._paths[index] = find_image(self.images_dir, self.names[index])
        return self._paths[index]

    def group_of(self, index: int) -> str:
        """The `group` that `datasetdm import` found in its name, else its own name: COCO's images are single photos."""
        return str(self._images[index].get("group") or self.name_of(index))

    def missing_images(self) -> list[str]:
        """Names of the images that are not there."""
        return missing_images(self.images_dir, self.names)

    def check_complete(self, remedy: str) -> None:
        """Raise a DatasetDMError if there are no images at all, or some are missing.

        `remedy` says where to get the data set that the layout was made for.
        """
        check_complete(self.annotation_file, self.images_dir, self.names, remedy)

    def target_of(self, index: int) -> Instances:
        """The objects of an image, without those that cover no pixel."""
        encoded = self.encoded_target(index)
        return replace(encoded, masks=np.asarray(encoded.masks))

    def encoded_target(self, index: int) -> Instances:
        """As `target_of`, with masks that are still encoded (`EncodedMasks`)."""
        return self._encoded(index)[0]

    def rejections_of(self, index: int) -> tuple[Rejection, ...]:
        """The annotations of an image that are left out: no area, or not a single pixel once drawn."""
        return (*self._rejected.get(self.image_ids[index], ()), *self._encoded(index)[1])

    def _encoded(self, index: int) -> tuple[Instances, tuple[Rejection, ...]]:
        """The objects of an image, their masks still encoded, and those that cover no pixel."""
        image, annotations = self._images[index], self._annotations[index]
        masks = EncodedMasks([self._runs(record, image) for record in annotations], (image["height"], image["width"]))
        visible = masks.areas > 0
        instances = Instances(
            masks=cast(np.ndarray, masks),
            labels=np.array([self._label_of[record.category_id] for record in annotations], dtype=np.int64),
            scores=np.array([record.score for record in annotations], dtype=np.float32),
            crowd=np.array([self.is_ignored(record) for record in annotations], dtype=bool),
        )
        rejections = tuple(
            Rejection(annotation_id=record.id, image_id=image["id"], reason="without a pixel")
            for record, seen in zip(annotations, visible, strict=True)
            if not seen
        )
        return self._with_judgement(image, instances if visible.all() else instances.select(visible)), rejections

    def count_objects(self, indices: Sequence[int]) -> int:
        """How many objects several images have, without crowds and those that cover no pixel.

        Raises:
            DatasetDMError: damaged RLE, as when a sample is read.
        """
        found = {index: texts for index in indices if (texts := self._compressed(index)) is not None}
        sizes = [self._images[index]["height"] * self._images[index]["width"] for index in found]
        try:
            pixels = np.repeat(np.array(sizes, dtype=np.int64), [len(texts) for texts in found.values()])
            visible = areas_of_runs([*chain.from_iterable(found.values())], pixels) > 0
        except ValueError:  # some is damaged: which one, shows below
            found, visible = {}, np.zeros(0, dtype=bool)
        learnt = [not self.is_ignored(record) for index in found for record in self._annotations[index]]
        others = (self.encoded_target(index) for index in indices if index not in found)
        return int(visible[learnt].sum()) + sum(int((~target.crowd).sum()) for target in others)

    def _compressed(self, index: int) -> list[str] | None:
        """The compressed run lengths of all masks of an image; None if there is a mask in another notation."""
        records = self._annotations[index]
        if any(record.id in self.report.boxes_only for record in records):
            return None
        shapes = [record.shape() for record in records]
        texts = [shape["counts"] for shape in shapes if isinstance(shape, dict) and isinstance(shape["counts"], str)]
        return texts if len(texts) == len(shapes) else None

    def _runs(self, record: Annotation, image: dict[str, Any]) -> dict[str, Any]:
        height, width = image["height"], image["width"]
        if record.id in self.report.boxes_only:
            return encode_box(record.box(), height, width)
        try:
            return encode_runs(record.shape(), height, width)
        except ValueError as error:
            raise DatasetDMError(
                f"{self.annotation_file}: annotation {record.id} of {image['file_name']}: {error}. "
                "Correct or remove that entry."
            ) from None

    def _with_judgement(self, image: dict[str, Any], instances: Instances) -> Instances:
        """The instances with what LVIS says of the image: categories that are absent, or not annotated throughout."""
        not_exhaustive = {self._label_of[category_id] for category_id in image.get(NOT_EXHAUSTIVE, ())}
        judged = None
        if NEGATIVE in image:
            negative = {self._label_of[category_id] for category_id in image[NEGATIVE]}
            judged = tuple(sorted({*negative, *not_exhaustive, *instances.labels.tolist()}))
        return replace(instances, judged=judged, not_exhaustive=tuple(sorted(not_exhaustive)))

    def check_image(self, index: int) -> None:
        """Check that the image is there and of its record's size, by the header of its file where that will do."""
        record = self._images[index]
        if image_size(self.path_of(index)) != (record["height"], record["width"]):
            self.image_of(index)  # which may be rotated by EXIF, or says what is wrong

    def image_of(self, index: int) -> np.ndarray:
        """The image alone (uint8, H x W x 3), which has to be of its record's size."""
        record = self._images[index]
        path = self.path_of(index)
        image = read_image(path)
        said = (record["height"], record["width"])
        if image.shape[:2] != said:
            raise DatasetDMError(
                f"{path} is {image.shape[1]} x {image.shape[0]} pixels, but {self.annotation_file} says "
                f"{record['width']} x {record['height']}: {size_remedy(image.shape, said)}"
            )
        return image


def load_coco(annotation_file: Path, images_dir: Path, captions_file: Path | None = None) -> CocoSplit:
    """Open a COCO file of object instances.

    Masks may be polygons, uncompressed or compressed RLE. Polygons are drawn by pycocotools and cut at the image's
    border. Crowds are kept and marked, images without objects are kept, a `score` of an annotation and a `caption`
    of an image record (both as `save_coco` writes them) are read.

    Args:
        annotation_file: JSON in COCO's format.
        images_dir: folder of the images; read when samples are accessed.
        captions_file: JSON in COCO's captions format; its captions replace those in the records.

    Raises:
        DatasetDMError: missing or broken files, inconsistent records; see `read_records`.
    """
    if not images_dir.is_dir():
        raise DatasetDMError(
            f"The image folder {images_dir} is missing, though {annotation_file} is to be read with it. Put the "
            "images there, or correct the path."
        )
    captions = {} if captions_file is None else read_captions(captions_file)
    return CocoSplit(annotation_file, images_dir, read_records(annotation_file), captions)


def check_coco(split: CocoSplit) -> dict[str, int]:
    """Look through a set, without decoding images or masks; the number of `images` and of `objects` (without crowds).

    Raises:
        DatasetDMError: what the loader refuses: images that are missing, no images, or of another size than their
            record, damaged masks.
    """
    counts = {"images": len(split), "objects": 0}
    for some in batches(range(len(split)), _AT_A_TIME):
        for index in some:
            split.check_image(index)
        counts["objects"] += split.count_objects(some)
    return counts

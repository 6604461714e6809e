"""COCO object instances: https://cocodataset.org/#format-data."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, overload

import numpy as np
from pycocotools import mask as coco_mask

from datasetdm.errors import DatasetDMError
from datasetdm.formats.coco_records import (
    NEGATIVE,
    NOT_EXHAUSTIVE,
    LoadReport,
    Records,
    Rejection,
    read_captions,
    read_records,
)
from datasetdm.formats.files import replacing, write_image
from datasetdm.formats.images import read_image
from datasetdm.formats.masks import decode_mask, encode_mask
from datasetdm.formats.paths import safe_join
from datasetdm.structures import Category, Instances, Sample


class CocoSplit(Sequence[Sample]):
    """The images of an annotation file with their objects, sorted by image id.

    Masks and images are read when a sample is asked for; everything else is known from the start.

    Attributes:
        annotation_file: where the records came from.
        images_dir: the folder of the images.
        categories: sorted by id; a label is an index into them.
        image_ids: id of each image.
        names: file name of each image, below `images_dir`.
        report: what was clipped and left out.
    """

    def __init__(
        self, annotation_file: Path, images_dir: Path, records: Records, captions: dict[int, tuple[str, ...]]
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

    def __len__(self) -> int:
        return len(self._images)

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
        captions = self.captions_of(index)
        return Sample(
            name=self.names[index],
            image=self._read_image(index),
            caption=captions[0] if captions else "",
            target=self.target_of(index),
            image_id=self.image_ids[index],
        )

    def labels_of(self, index: int) -> tuple[int, ...]:
        """Labels of the objects of an image, crowds aside, one per object; nothing is decoded."""
        annotations = self._annotations[index]
        return tuple(self._label_of[record["category_id"]] for record in annotations if not record.get("iscrowd", 0))

    def captions_of(self, index: int) -> tuple[str, ...]:
        """All captions of an image, possibly none."""
        own = self._images[index].get("caption", "")
        return self._captions.get(self.image_ids[index], (own,) if own else ())

    def name_of(self, index: int) -> str:
        """A name that tells the native folder, too: `train2017_000000000009.jpg`."""
        return f"{self.images_dir.name}/{self.names[index]}".replace("/", "_")

    def id_of(self, index: int) -> int:
        """The id of the image; where a data set counts from 0, all ids move by one, as 0 stands for "no id yet"."""
        return self.image_ids[index] + (0 if self.image_ids[0] else 1)

    def path_of(self, index: int) -> Path:
        """The image file; DatasetDMError where its name leads out of `images_dir`."""
        return safe_join(self.images_dir, self.names[index])

    def group_of(self, index: int) -> str:
        """Its own name: COCO's images were taken one by one."""
        return self.name_of(index)

    def missing_images(self) -> list[str]:
        """Names of the images that are not there."""
        present = set()
        # Whole folders at a time: asking for a hundred thousand files one by one takes minutes on a network disk.
        for folder in {os.path.dirname(name) for name in self.names}:
            if (self.images_dir / folder).is_dir():
                present |= {os.path.join(folder, name) for name in os.listdir(self.images_dir / folder)}
        return [name for name in self.names if name not in present]

    def check_complete(self, remedy: str) -> None:
        """Raise a DatasetDMError where there are no images at all, or some are missing; `remedy` says what to do."""
        if not len(self):
            raise DatasetDMError(f"{self.annotation_file} lists no images. {remedy}")
        missing = self.missing_images()
        if missing:
            some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise DatasetDMError(
                f"{self.images_dir} lacks {len(missing)} of the {len(self)} images that {self.annotation_file} lists "
                f"({some}): the download is incomplete. {remedy} To use a part only, remove the other images from the "
                "annotation file."
            )

    def target_of(self, index: int) -> Instances:
        """The objects of an image, without those that cover no pixel."""
        return self._draw(index)[0]

    def rejections_of(self, index: int) -> tuple[Rejection, ...]:
        """The annotations of an image that are left out: no area, or not a single pixel once drawn."""
        image_id = self.image_ids[index]
        return (*(item for item in self.report.rejected if item.image_id == image_id), *self._draw(index)[1])

    def _draw(self, index: int) -> tuple[Instances, tuple[Rejection, ...]]:
        image = self._images[index]
        annotations = self._annotations[index]
        masks = np.zeros((len(annotations), image["height"], image["width"]), dtype=bool)
        for mask, record in zip(masks, annotations, strict=True):
            try:
                mask[:] = decode_mask(record["segmentation"], image["height"], image["width"])
            except ValueError as error:
                raise DatasetDMError(
                    f"{self.annotation_file}: annotation {record['id']} of {image['file_name']}: {error}. "
                    "Correct or remove that entry."
                ) from None
        instances = Instances(
            masks=masks,
            labels=np.array([self._label_of[record["category_id"]] for record in annotations], dtype=np.int64),
            scores=np.array([record.get("score", 1) for record in annotations], dtype=np.float32),
            crowd=np.array([bool(record.get("iscrowd", 0)) for record in annotations], dtype=bool),
        )
        visible = np.array([mask.any() for mask in masks], dtype=bool)
        rejections = tuple(
            Rejection(annotation_id=record["id"], image_id=image["id"], reason="covers no pixel")
            for record, seen in zip(annotations, visible, strict=True)
            if not seen
        )
        return self._with_judgement(image, instances if visible.all() else instances.select(visible)), rejections

    def _with_judgement(self, image: dict[str, Any], instances: Instances) -> Instances:
        """The instances with what LVIS says of the image: categories that are absent, or not annotated throughout."""
        not_exhaustive = {self._label_of[category_id] for category_id in image.get(NOT_EXHAUSTIVE, ())}
        judged = None
        if NEGATIVE in image:
            negative = {self._label_of[category_id] for category_id in image[NEGATIVE]}
            judged = tuple(sorted({*negative, *not_exhaustive, *instances.labels.tolist()}))
        return replace(instances, judged=judged, not_exhaustive=tuple(sorted(not_exhaustive)))

    def _read_image(self, index: int) -> np.ndarray:
        record = self._images[index]
        path = self.path_of(index)
        image = read_image(path)
        if image.shape[:2] != (record["height"], record["width"]):
            raise DatasetDMError(
                f"{path} is {image.shape[1]} x {image.shape[0]} pixels, but {self.annotation_file} says "
                f"{record['width']} x {record['height']}: put the original image in its place, or correct the record."
            )
        return image


def load_coco(annotation_file: Path, images_dir: Path, captions_file: Path | None = None) -> CocoSplit:
    """Open a COCO file of object instances.

    Masks may be polygons, uncompressed or compressed RLE. Polygons are drawn by pycocotools and cut at the image's
    border. Crowds are kept and marked, images without objects are kept, a `score` of an annotation and a `caption`
    of an image record (both as `save_coco` writes them) are read.

    Args:
        annotation_file: JSON in COCO's format.
        images_dir: folder of the images; read when samples are asked for.
        captions_file: JSON in COCO's captions format; its captions take the place of those in the records.

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


def save_coco(
    annotation_file: Path, images_dir: Path, samples: Iterable[Sample], categories: Sequence[Category]
) -> None:
    """Write samples as COCO object instances, the same bytes for the same samples.

    Masks are compressed RLE with official category ids. `score` (where below 1), `caption` and LVIS's own keys
    (`frequency` of a category; `neg_category_ids` and `not_exhaustive_category_ids` of an image, where not all was
    judged) are extra keys that other readers pass over. An object without a single pixel is not written. A sample
    with `image_id` 0 gets the next free id. Samples are taken one at a time, so that a generator of any length will
    do; the annotation file appears once all are written.

    Args:
        annotation_file: the JSON file.
        images_dir: images are written there as PNG, except for those that are there already.
        samples: with `Instances` as targets.
        categories: what their labels refer to.

    Raises:
        DatasetDMError: two samples of the same name or id, or a name that leads out of the folder.
    """
    images: list[dict[str, Any]] = []
    used: set[object] = set()
    with replacing(annotation_file) as temporary, temporary.open("w", encoding="ascii", newline="\n") as stream:
        stream.write('{"info": {"description": "Object instances written by DatasetDM", "version": "1.0"},\n')
        stream.write('"licenses": [],\n"annotations": [')
        count, highest_id = 0, 0
        for sample in samples:
            record = _image_record(sample, sample.image_id or highest_id + 1, categories)
            highest_id = max(highest_id, record["id"])
            for value in (record["id"], record["file_name"]):
                if value in used:
                    raise DatasetDMError(f"{annotation_file}: two images have the name or id {value!r}; rename one.")
                used.add(value)
            path = safe_join(images_dir, sample.name)
            if not path.exists():
                write_image(path, sample.image)
            for annotation in _annotation_records(sample.target, record["id"], categories):
                _write_item(stream, {"id": count + 1, **annotation}, first=count == 0)
                count += 1
            images.append(record)
        stream.write('\n],\n"images": [')
        for position, record in enumerate(images):
            _write_item(stream, record, first=position == 0)
        stream.write('\n],\n"categories": [')
        for position, category in enumerate(categories):
            item = {"id": category.id, "name": category.name, "supercategory": category.supercategory}
            item |= {"frequency": category.frequency} if category.frequency else {}
            _write_item(stream, item, first=position == 0)
        stream.write("\n]}\n")


def _image_record(sample: Sample, image_id: int, categories: Sequence[Category]) -> dict[str, Any]:
    height, width = sample.image.shape[:2]
    caption = {"caption": sample.caption} if sample.caption else {}
    judgement = _judgement(sample.target, categories)
    return {"id": image_id, "file_name": sample.name, "width": width, "height": height, **caption, **judgement}


def _judgement(target: Instances, categories: Sequence[Category]) -> dict[str, list[int]]:
    """LVIS's keys of an image record: both where the annotation is federated, none where all was judged."""
    record = {}
    if target.judged is not None:
        absent = {*target.judged} - {*target.labels.tolist(), *target.not_exhaustive}
        record[NEGATIVE] = [categories[label].id for label in sorted(absent)]
    if target.judged is not None or target.not_exhaustive:
        record[NOT_EXHAUSTIVE] = [categories[label].id for label in sorted(target.not_exhaustive)]
    return record


def _annotation_records(target: Instances, image_id: int, categories: Sequence[Category]) -> Iterable[dict[str, Any]]:
    for mask, label, score, crowd in zip(target.masks, target.labels, target.scores, target.crowd, strict=True):
        if not mask.any():
            continue
        if not 0 <= label < len(categories):
            raise ValueError(f"the label {label} is none of the {len(categories)} categories")
        rle = encode_mask(mask)
        yield {
            "image_id": image_id,
            "category_id": categories[label].id,
            "iscrowd": int(crowd),
            "area": int(mask.sum()),
            "bbox": [float(side) for side in coco_mask.toBbox(rle)],
            "segmentation": rle,
            # The shortest decimal that reads back as the same float32.
            **({"score": float(str(np.float32(score)))} if score < 1 else {}),
        }


def _write_item(stream: TextIO, item: dict[str, Any], *, first: bool) -> None:
    """One record per line, so that files can be compared line by line; plain ASCII, which every reader opens."""
    stream.write(("\n" if first else ",\n") + json.dumps(item, allow_nan=False))

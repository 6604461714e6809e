"""Writing COCO object instances: https://cocodataset.org/#format-data."""

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Sample
from datasetdm.datasets.standard.attribution import AttributionReader, AttributionWriter, without_attribution
from datasetdm.datasets.standard.coco_records import NEGATIVE, NOT_EXHAUSTIVE
from datasetdm.datasets.standard.masks import encoded
from datasetdm.errors import DatasetDMError
from datasetdm.utils.files import read_json, read_long_json, replacing, write_image
from datasetdm.utils.paths import safe_join

OBJECTS = "Object instances written by DatasetDM"
VERSION = "1.0"


def save_coco(
    annotation_file: Path, images_dir: Path, samples: Iterable[Sample], categories: Sequence[Category]
) -> None:
    """Write samples as COCO object instances, the same bytes for the same samples.

    Masks are compressed RLE with official category ids, drawn and written one at a time. Images with an attribution
    have its keys in their record, and the file has their `licenses`. `score` (where below 1), `caption` and LVIS's own
    keys (`frequency` of a category; `neg_category_ids` and `not_exhaustive_category_ids` of an image, where not all was
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
    origins, highest_id = AttributionWriter(), 0
    info = {"description": OBJECTS, "version": VERSION}
    with writing_coco(annotation_file, info, origins, list(map(category_record, categories))) as add:
        for sample in samples:
            record = _image_record(sample, sample.image_id or highest_id + 1, categories)
            highest_id = max(highest_id, record["id"])
            add(
                record | origins.record(sample.attribution),
                object_records(sample.target, record["id"], categories),
            )
            path = safe_join(images_dir, sample.name)
            if not path.exists():
                write_image(path, sample.image)


def join_coco(annotation_file: Path, parts: Sequence[Path], names: Collection[str] | None = None) -> None:
    """Put annotation files of this project together, as if all their samples had been saved at once.

    Neither images nor masks are decoded, and memory holds one part.

    Args:
        annotation_file: the JSON file to write.
        parts: at least one; of object instances or of person keypoints.
        names: of the images that are taken; None: all.

    Raises:
        DatasetDMError: a part is missing or broken, or two have an image of the same name or id.
    """
    remedy = "Make it again with the stage that wrote it."
    first = read_json(parts[0], remedy=remedy)
    origins = AttributionWriter()
    info = {"description": first["info"]["description"], "version": VERSION}
    with writing_coco(annotation_file, info, origins, first["categories"]) as add:
        for part in parts:
            content, items = read_long_json(part, "annotations", msgspec.Raw, remedy=remedy)
            reader, annotations = AttributionReader(content), _by_image(items)
            for record in content["images"]:
                if names is not None and record["file_name"] not in names:
                    continue
                attribution = origins.record(reader.of(record))
                add(without_attribution(record) | attribution, annotations.get(record["id"], ()))


class _Ids(msgspec.Struct):
    """What has to be known of an annotation that is copied."""

    id: int
    image_id: int


_IDS = msgspec.json.Decoder(_Ids)


def _by_image(annotations: Iterable[msgspec.Raw | dict[str, Any]]) -> dict[int, list[str]]:
    """Image id -> its annotations as text, without their own ids.

    A record that this project wrote begins with its id. Its text is kept, which takes a tenth of the time that reading
    and writing takes.
    """
    found: dict[int, list[str]] = {}
    for annotation in annotations:
        if isinstance(annotation, msgspec.Raw):
            ids, text = _IDS.decode(annotation), bytes(annotation).decode()
            begin = f'{{"id": {ids.id}, '
            if text.startswith(begin) and text.isascii():
                found.setdefault(ids.image_id, []).append("{" + text[len(begin) :])
                continue
            annotation = json.loads(text)
        del annotation["id"]
        found.setdefault(annotation["image_id"], []).append(json.dumps(annotation, allow_nan=False))
    return found


Add = Callable[[dict[str, Any], Iterable[Mapping[str, Any] | str]], None]


@contextmanager
def writing_coco(
    annotation_file: Path,
    info: Mapping[str, Any],
    origins: AttributionWriter,
    categories: Sequence[Mapping[str, Any]] | None,
) -> Iterator[Add]:
    """Gives a function that takes an image's record and its annotations, which get their ids; the file appears whole.

    An annotation is a record without id, or the text of one that has other keys.

    Annotations go to a separate temporary file, so that memory holds the records of images alone.

    Args:
        annotation_file: the JSON file.
        info: of the file; the data sets that `origins` knows are added.
        origins: gives the records of images their keys; its licences are complete at the end of the block.
        categories: their records; None for captions, which have none.

    Raises:
        DatasetDMError: two images of the same name or id.
    """
    images: list[dict[str, Any]] = []
    used: set[object] = set()
    count = 0
    with replacing(annotation_file) as temporary, TemporaryFile("w+", encoding="ascii", newline="\n") as annotations:

        def add(record: dict[str, Any], records: Iterable[Mapping[str, Any] | str]) -> None:
            nonlocal count
            for value in (record["id"], record["file_name"]):
                if value in used:
                    raise DatasetDMError(f"{annotation_file}: two images have the name or id {value!r}; rename one.")
                used.add(value)
            for annotation in records:
                text = annotation if isinstance(annotation, str) else json.dumps(annotation, allow_nan=False)
                annotations.write(f'{"," if count else ""}\n{{"id": {count + 1}, {text[1:]}')
                count += 1
            images.append(record)

        yield add
        annotations.seek(0)
        with temporary.open("w", encoding="ascii", newline="\n") as stream:
            stream.write(f'{{"info": {json.dumps({**info, **origins.info})},\n"licenses": [')
            _write_items(stream, origins.licenses)
            stream.write('],\n"annotations": [')
            shutil.copyfileobj(annotations, stream)
            stream.write('\n],\n"images": [')
            _write_items(stream, images)
            if categories is not None:
                stream.write('\n],\n"categories": [')
                _write_items(stream, categories)
            stream.write("\n]}\n")


def category_record(category: Category) -> dict[str, Any]:
    """COCO's record of a category, with LVIS's keys where it has them."""
    lvis = {"frequency": category.frequency, "synonyms": list(category.synonyms)}
    record = {"id": category.id, "name": category.name, "supercategory": category.supercategory}
    return record | {key: value for key, value in lvis.items() if value}


def _image_record(sample: Sample, image_id: int, categories: Sequence[Category]) -> dict[str, Any]:
    height, width = sample.image.shape[:2]
    caption = {"caption": sample.caption} if sample.caption else {}
    judgement = judgement_record(sample.target, categories)
    return {"id": image_id, "file_name": sample.name, "width": width, "height": height, **caption, **judgement}


def judgement_record(target: Instances, categories: Sequence[Category]) -> dict[str, list[int]]:
    """LVIS's keys of an image record: both where the annotation is federated, none where all was judged."""
    record = {}
    if target.judged is not None:
        absent = {*target.judged} - {*target.labels.tolist(), *target.not_exhaustive}
        record[NEGATIVE] = [categories[label].id for label in sorted(absent)]
    if target.judged is not None or target.not_exhaustive:
        record[NOT_EXHAUSTIVE] = [categories[label].id for label in sorted(target.not_exhaustive)]
    return record


def object_records(target: Instances, image_id: int, categories: Sequence[Category]) -> Iterator[dict[str, Any]]:
    """COCO's annotation records of an image, without ids; masks are RLE, and objects without a pixel are left out."""
    for rle, label, score, crowd in zip(encoded(target.masks), target.labels, target.scores, target.crowd, strict=True):
        area = int(coco_mask.area(rle))
        if not area:
            continue
        if not 0 <= label < len(categories):
            raise ValueError(f"the label {label} is none of the {len(categories)} categories")
        yield {
            "image_id": image_id,
            "category_id": categories[label].id,
            "iscrowd": int(crowd),
            "area": area,
            "bbox": [float(side) for side in coco_mask.toBbox(rle)],
            "segmentation": rle,
            # The shortest decimal that reads back as the same float32.
            **({"score": float(str(np.float32(score)))} if score < 1 else {}),
        }


def _write_item(stream: IO[str], item: Mapping[str, Any], *, first: bool) -> None:
    """One record per line, so that files can be compared line by line; plain ASCII, which every reader opens."""
    stream.write(("\n" if first else ",\n") + json.dumps(item, allow_nan=False))


def _write_items(stream: IO[str], items: Sequence[Mapping[str, Any]]) -> None:
    for position, item in enumerate(items):
        _write_item(stream, item, first=position == 0)

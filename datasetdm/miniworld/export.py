"""Writes the miniworld in COCO's native layout, so that the loaders of the real data set read it."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.captions import write_captions
from datasetdm.miniworld.catalog import THING_BY_NAME
from datasetdm.miniworld.distributions import DISTRIBUTIONS, SPLITS
from datasetdm.miniworld.drawing.person import KEYPOINTS, SKELETON
from datasetdm.miniworld.rendering import Render, render
from datasetdm.miniworld.scene import sample_scene

Record = dict[str, Any]

CAPTIONS_PER_IMAGE = 5

#: COCO's folder, the split its styles come from, and the number before its first image id.
_FOLDERS = (("train2017", "train", 0), ("val2017", "test", 500_000))


def export_coco(
    root: Path,
    *,
    num_train: int,
    num_val: int,
    seed: int,
    image_size: int = 128,
    distribution: str = "coco",
) -> None:
    """Writes `train2017/`, `val2017/` and `annotations/{instances,person_keypoints,captions}_*.json` under `root`.

    The same arguments give the same bytes, and image k does not depend on how many images there are. The images of
    val2017 use other seeds and held-out styles (split "test", see `distributions`). The folder appears complete or
    not at all; an earlier export in its place is replaced.

    Raises:
        DatasetDMError: if `root` exists and is no earlier export, or an argument is out of range.
    """
    root = Path(root)
    if distribution not in DISTRIBUTIONS:
        raise DatasetDMError(
            f"unknown miniworld distribution {distribution!r}; it is one of {', '.join(DISTRIBUTIONS)}."
        )
    if min(num_train, num_val, seed) < 0 or max(num_train, num_val) > _FOLDERS[1][2]:
        raise DatasetDMError(
            "num_train, num_val (at most 500 000) and seed of the miniworld export must not be negative."
        )
    if root.exists() and any(root.iterdir()) and not (root / "annotations").is_dir():
        raise DatasetDMError(f"{root} holds something other than a COCO data set; name another folder or empty it.")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=root.parent) as scratch:
        fresh = Path(scratch) / "new"
        for (folder, split, offset), count in zip(_FOLDERS, (num_train, num_val), strict=True):
            _write_split(fresh, folder, split, offset, count, seed, image_size, distribution)
        if root.exists():
            os.replace(root, Path(scratch) / "old")
        os.replace(fresh, root)


def _write_split(
    root: Path, folder: str, split: str, offset: int, count: int, seed: int, image_size: int, distribution: str
) -> None:
    (root / folder).mkdir(parents=True)
    (root / "annotations").mkdir(exist_ok=True)
    images: list[Record] = []
    instances: list[Record] = []
    captions: list[Record] = []
    for k in range(count):
        image_id = offset + 1 + k
        rng = np.random.default_rng([seed, SPLITS.index(split), k])
        scene = sample_scene(rng, distribution, split)
        picture = render(scene, image_size)
        name = f"{image_id:012d}.jpg"
        _write_jpeg(root / folder / name, picture.image)
        images.append(_image_record(image_id, name, image_size))
        instances += _instance_records(picture, image_id, offset + 1 + len(instances))
        captions += [
            {"id": offset + 1 + len(captions) + n, "image_id": image_id, "caption": text}
            for n, text in enumerate(write_captions(scene, rng, CAPTIONS_PER_IMAGE))
        ]
    categories = [_category_record(name) for name in DISTRIBUTIONS[distribution].categories]
    persons = [record for record in instances if "keypoints" in record]
    boxes = [{key: record[key] for key in record if "keypoints" not in key} for record in instances]
    pose = {**_category_record("person"), "keypoints": list(KEYPOINTS), "skeleton": [list(pair) for pair in SKELETON]}
    _write_annotations(root, f"instances_{folder}", images, boxes, categories)
    _write_annotations(root, f"person_keypoints_{folder}", images, persons, [pose])
    _write_annotations(root, f"captions_{folder}", images, captions, None)


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    """Quality 95 without chroma subsampling: thin coloured parts stay where their masks are."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    if not cv2.imwrite(str(path), image[..., ::-1], options):
        raise DatasetDMError(f"could not write {path}; is the disk full?")


def _image_record(image_id: int, name: str, size: int) -> Record:
    empty = {"coco_url": "", "flickr_url": "", "date_captured": ""}
    return {"id": image_id, "file_name": name, "width": size, "height": size, "license": 1, **empty}


def _instance_records(picture: Render, image_id: int, first_id: int) -> list[Record]:
    """One record per object; those of persons carry their keypoints too."""
    records: list[Record] = []
    for n, (mask, category_id) in enumerate(zip(picture.masks, picture.category_ids, strict=True)):
        rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        records.append(
            {
                "id": first_id + n,
                "image_id": image_id,
                "category_id": int(category_id),
                "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")},
                "area": float(coco_mask.area(rle)),
                "bbox": [float(value) for value in coco_mask.toBbox(rle)],
                "iscrowd": 0,
            }
        )
    for n, points in zip(picture.person_indices, picture.keypoints, strict=True):
        flat = [round(float(value), 2) if k % 3 < 2 else int(value) for k, value in enumerate(points.ravel())]
        records[n] |= {"keypoints": flat, "num_keypoints": int((points[:, 2] > 0).sum())}
    return records


def _category_record(name: str) -> Record:
    category = THING_BY_NAME[name]
    return {"id": category.id, "name": category.name, "supercategory": category.supercategory}


def _write_annotations(
    root: Path, name: str, images: list[Record], annotations: list[Record], categories: list[Record] | None
) -> None:
    info = {
        "description": "DatasetDM miniworld: rendered scenes that stand in for COCO 2017",
        "version": "1.0",
        "year": 2026,
        "contributor": "DatasetDM",
        "url": "",
        "date_created": "",
    }
    licences = [{"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}]
    content: Record = {"info": info, "licenses": licences, "images": images, "annotations": annotations}
    if categories is not None:
        content["categories"] = sorted(categories, key=lambda record: record["id"])
    (root / "annotations" / f"{name}.json").write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")

"""COCO 2017: instances, person keypoints and captions.

`train2017/000000000001.jpg`, ..., `val2017/` and `annotations/{instances,person_keypoints,captions}_*2017.json`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from datasetdm.annotations.persons import KEYPOINTS, SKELETON
from datasetdm.miniworld.catalog import THING_BY_NAME
from datasetdm.miniworld.exports.export import MOST_IMAGES, Export, Split, World, write_picture
from datasetdm.miniworld.rendering import Render

Record = dict[str, Any]

FOLDERS: dict[Split, str] = {"train": "train2017", "val": "val2017"}


def write_coco(root: Path, world: World) -> None:
    """Writes both splits; every mask as a run-length encoding, exact to the pixel."""
    (root / "annotations").mkdir()
    for split in FOLDERS:
        _write_split(root, world, split)


export_coco = Export("COCO", write_coco, ("annotations", *FOLDERS.values()), "coco")


def image_record(image_id: int, size: int, coco_url: str = "") -> Record:
    """An image of `size` x `size` pixels; COCO names its file, too, LVIS has the address only."""
    return {
        "id": image_id,
        "width": size,
        "height": size,
        "license": 1,
        "coco_url": coco_url,
        "flickr_url": "",
        "date_captured": "",
    }


def mask_record(mask: NDArray[np.bool_]) -> Record:
    """Segmentation (compressed run lengths), area and box of a mask, H x W."""
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {
        "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")},
        "area": float(coco_mask.area(rle)),
        "bbox": [float(value) for value in coco_mask.toBbox(rle)],
    }


def write_annotations(path: Path, **tables: list[Record]) -> None:
    """Writes an annotation file: the tables after the data set's own description."""
    info = {
        "description": "DatasetDM miniworld: rendered scenes that stand in for COCO 2017",
        "version": "1.0",
        "year": 2026,
        "contributor": "DatasetDM",
        "url": "",
        "date_created": "",
    }
    licences = [{"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}]
    content = {"info": info, "licenses": licences, **tables}
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


def _write_split(root: Path, world: World, split: Split) -> None:
    folder = FOLDERS[split]
    (root / folder).mkdir()
    offset = MOST_IMAGES if split == "val" else 0
    images: list[Record] = []
    instances: list[Record] = []
    captions: list[Record] = []
    for shot in world.shots(split):
        image_id = shot.image_id(split)
        name = f"{image_id:012d}.jpg"
        write_picture(root / folder / name, shot.picture.image)
        images.append({"id": image_id, "file_name": name, **image_record(image_id, world.image_size)})
        instances += _instance_records(shot.picture, image_id, offset + 1 + len(instances))
        captions += [
            {"id": offset + 1 + len(captions) + n, "image_id": image_id, "caption": text}
            for n, text in enumerate(shot.captions)
        ]
    categories = sorted((_category_record(name) for name in world.categories), key=lambda record: record["id"])
    persons = [record for record in instances if "keypoints" in record]
    boxes = [{key: record[key] for key in record if "keypoints" not in key} for record in instances]
    pose = {**_category_record("person"), "keypoints": list(KEYPOINTS), "skeleton": [list(pair) for pair in SKELETON]}
    annotations = root / "annotations"
    write_annotations(annotations / f"instances_{folder}.json", images=images, annotations=boxes, categories=categories)
    write_annotations(
        annotations / f"person_keypoints_{folder}.json", images=images, annotations=persons, categories=[pose]
    )
    write_annotations(annotations / f"captions_{folder}.json", images=images, annotations=captions)


def _instance_records(picture: Render, image_id: int, first_id: int) -> list[Record]:
    """One record per object; those of persons carry their keypoints too."""
    records: list[Record] = [
        {
            "id": first_id + n,
            "image_id": image_id,
            "category_id": int(category_id),
            **mask_record(mask),
            "iscrowd": 0,
        }
        for n, (mask, category_id) in enumerate(zip(picture.masks, picture.category_ids, strict=True))
    ]
    for n, points in zip(picture.person_indices, picture.keypoints, strict=True):
        flat = [round(float(value), 2) if k % 3 < 2 else int(value) for k, value in enumerate(points.ravel())]
        records[n] |= {"keypoints": flat, "num_keypoints": int((points[:, 2] > 0).sum())}
    return records


def _category_record(name: str) -> Record:
    category = THING_BY_NAME[name]
    return {"id": category.id, "name": category.name, "supercategory": category.supercategory}

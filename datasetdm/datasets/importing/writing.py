"""Write an export in a native layout: images linked, annotations written, all of it at once or not at all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.persons import KEYPOINTS, SKELETON
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.importing.contents import Contents, Picture, Shape
from datasetdm.datasets.importing.depth_maps import Unit, read_numbers, to_units
from datasetdm.datasets.importing.file_names import file_names
from datasetdm.datasets.importing.files import look_at
from datasetdm.datasets.importing.splitting import group_of
from datasetdm.datasets.native.depth_folder import LIST_FILE, as_list
from datasetdm.datasets.standard.attribution import AttributionWriter
from datasetdm.datasets.standard.depth_png import KITTI_UNITS, LARGEST, MILLIMETRES
from datasetdm.datasets.standard.masks import encode_runs
from datasetdm.utils.files import replacing, write_image, write_json, write_text

#: Task -> the layout that `write` gives it, a key of `LAYOUTS`.
FORMATS = {"instance": "coco", "pose": "coco_pose", "semantic": "voc", "depth": "depth_folder"}


def write(contents: Contents, folder: Path, group_by: str | None = None) -> None:
    """Write an export as a data set in the layout `FORMATS[contents.task]`; what is in the folder is replaced.

    Args:
        contents: checked and split.
        folder: where it goes.
        group_by: as for `splitting.split`; groups are kept, so that dev images can be chosen by them.
    """
    with replacing(folder) as temporary:
        temporary.mkdir()
        _WRITERS[contents.task](contents, temporary, group_by)


def bring(source: Path, target: Path, *, move: bool = False) -> None:
    """Put a file into a data set without taking disk space: a hard link, else a symbolic link, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if move:
        shutil.move(source, target)
        return
    source = source.resolve()
    for put in (os.link, os.symlink, shutil.copyfile):
        try:
            put(source, target)
        except OSError:
            if put is shutil.copyfile:
                raise
        else:
            return


def _write_coco(contents: Contents, folder: Path, group_by: str | None) -> None:
    kind = "person_keypoints" if contents.task == "pose" else "instances"
    names = file_names(contents.pictures)
    number, first = 0, 1
    for subset in ("train", "val"):
        chosen = [(n, p) for n, p in zip(names, contents.pictures, strict=True) if p.subset == subset]
        origins = AttributionWriter()
        ids = {category.name: category.id for category in contents.categories}
        images, annotations, captions = [], [], []
        for image_id, (name, picture) in enumerate(chosen, first):
            bring(picture.file, folder / f"{subset}2017" / name, move=picture.temporary)
            images.append(_image_record(image_id, name, picture, group_by) | origins.record(picture.attribution))
            for shape in picture.shapes:
                number += 1
                annotations.append({"id": number, "image_id": image_id, **_object_record(shape, picture, ids)})
            captions += [{"image_id": image_id, "caption": text} for text in picture.captions]
        first += len(chosen)
        content = {
            "info": {"description": "Imported by DatasetDM", **origins.info},
            "licenses": origins.licenses,
            "images": images,
            "annotations": annotations,
            "categories": [_category_record(contents, position) for position in range(len(contents.categories))],
        }
        write_json(folder / "annotations" / f"{kind}_{subset}2017.json", content)
        if captions:
            records = [{"id": position, **record} for position, record in enumerate(captions, 1)]
            write_json(
                folder / "annotations" / f"captions_{subset}2017.json", {"images": images, "annotations": records}
            )


def _image_record(image_id: int, name: str, picture: Picture, group_by: str | None) -> dict[str, Any]:
    size = look_at(picture.file).size
    assert size is not None
    group = group_of(picture.name, group_by)
    record = {"id": image_id, "file_name": name, "height": size[0], "width": size[1], "imported_from": picture.name}
    return record | ({"group": group} if group != picture.name else {})


def _object_record(shape: Shape, picture: Picture, ids: dict[str, int]) -> dict[str, Any]:
    size = look_at(picture.file).size
    assert size is not None and shape.box is not None
    area = float(shape.box[2] * shape.box[3])
    if shape.segmentation is not None:
        area = float(coco_mask.area(encode_runs(shape.segmentation, *size)))
    record = {
        "category_id": ids[shape.label],
        "iscrowd": int(shape.crowd),
        "area": area,
        "bbox": [float(side) for side in shape.box],
        "segmentation": shape.segmentation or [],
    }
    if shape.keypoints is None:
        return record
    points = [int(value) if value == int(value) else value for value in shape.keypoints]
    return record | {"keypoints": points, "num_keypoints": sum(flag > 0 for flag in points[2::3])}


def _category_record(contents: Contents, position: int) -> dict[str, Any]:
    category = contents.categories[position]
    record: dict[str, Any] = {"id": category.id, "name": category.name, "supercategory": category.supercategory}
    if contents.task == "pose":
        record |= {"keypoints": list(KEYPOINTS), "skeleton": [list(pair) for pair in SKELETON]}
    return record


def _write_voc(contents: Contents, folder: Path, group_by: str | None) -> None:
    names = file_names(contents.pictures, by_stem=True)
    reader = contents.details["reader"]
    for name, picture in zip(names, contents.pictures, strict=True):
        assert picture.annotation is not None
        bring(picture.file, folder / "JPEGImages" / name)
        write_image(folder / "SegmentationClass" / f"{Path(name).stem}.png", reader.read(picture.annotation))
    categories = [category.name for category in contents.categories]
    assert categories[0] == BACKGROUND and len(categories) <= IGNORE
    write_text(folder / "classes.txt", "".join(f"{name}\n" for name in categories))
    for subset in ("train", "val"):
        lines = [f"{n}\n" for n, p in zip(names, contents.pictures, strict=True) if p.subset == subset]
        write_text(folder / "ImageSets" / "Segmentation" / f"{subset}.txt", "".join(lines))


def _write_depth(contents: Contents, folder: Path, group_by: str | None) -> None:
    names = file_names(contents.pictures, by_stem=True)
    unit: Unit = contents.details["unit"]
    all_png = all(p.annotation is not None and p.annotation.suffix.lower() == ".png" for p in contents.pictures)
    farthest = contents.details["farthest"]
    units = unit.per_metre if all_png else MILLIMETRES if farthest * MILLIMETRES <= LARGEST else KITTI_UNITS
    lists: dict[str, list[dict[str, str]]] = {"train": [], "val": []}
    for name, picture in zip(names, contents.pictures, strict=True):
        assert picture.annotation is not None and picture.subset is not None
        bring(picture.file, folder / "images" / name)
        target = folder / "depth" / f"{Path(name).stem}.png"
        if all_png:
            bring(picture.annotation, target)
        else:
            write_image(target, to_units(read_numbers(picture.annotation), unit, units))
        group = group_of(picture.name, group_by)
        lists[picture.subset].append({"image": name} | ({"group": group} if group != picture.name else {}))
    write_json(folder / LIST_FILE, as_list(units, contents.categories[0].name, **lists))


_WRITERS: dict[str, Callable[[Contents, Path, str | None], None]] = {
    "instance": _write_coco,
    "pose": _write_coco,
    "semantic": _write_voc,
    "depth": _write_depth,
}

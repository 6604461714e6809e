"""Data sets as they come from their makers."""

import os
from pathlib import Path
from typing import Literal

from datasetdm.errors import DatasetDMError
from datasetdm.formats.coco import CocoSplit, load_coco

COCO_DOWNLOAD = (
    "Get {year}.zip and annotations_trainval2017.zip from https://cocodataset.org/#download and unpack both into one "
    "folder, or set `source.root` in params.yaml to where they lie."
)


def open_native_coco(root: Path, split: Literal["train", "val"]) -> CocoSplit:
    """Open a split of COCO 2017 (or of anything in its layout) as downloaded and unpacked.

    Reads `<split>2017/`, `annotations/instances_<split>2017.json` and, where it is there,
    `annotations/captions_<split>2017.json`. Every image that the annotations list has to be there; whether it can
    be decoded shows when it is read.

    Raises:
        DatasetDMError: what is missing, with how many of how many images, and where to get it.
    """
    year = f"{split}2017"
    remedy = COCO_DOWNLOAD.format(year=year)
    images_dir = root / year
    annotation_file = root / "annotations" / f"instances_{year}.json"
    captions_file = root / "annotations" / f"captions_{year}.json"
    for path in (root, images_dir, annotation_file):
        if not path.exists():
            raise DatasetDMError(f"The data set is incomplete: {path} is missing. {remedy}")
    data = load_coco(annotation_file, images_dir, captions_file if captions_file.exists() else None)
    if not len(data):
        raise DatasetDMError(f"{annotation_file} lists no images. {remedy}")
    _check_complete(data, remedy)
    return data


def _check_complete(data: CocoSplit, remedy: str) -> None:
    present = {
        Path(folder, file).relative_to(data.images_dir).as_posix()
        for folder, _, files in os.walk(data.images_dir)
        for file in files
    }
    missing = [name for name in data.names if name not in present]
    if missing:
        some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise DatasetDMError(
            f"{data.images_dir} lacks {len(missing)} of the {len(data)} images that {data.annotation_file} lists "
            f"({some}): the download is incomplete. {remedy} To use a part only, remove the other images from the "
            "annotation file."
        )

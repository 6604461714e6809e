"""Data sets as they come from their makers."""

from pathlib import Path
from typing import Literal

from datasetdm.datasets.standard.coco import CocoSplit, load_coco
from datasetdm.datasets.standard.coco_keypoints import CocoKeypointSplit, load_coco_keypoints
from datasetdm.errors import DatasetDMError

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
    annotation_file, images_dir, captions_file, remedy = find_coco(root, split, "instances")
    data = load_coco(annotation_file, images_dir, captions_file)
    data.check_complete(remedy)
    return data


def find_coco(
    root: Path, split: Literal["train", "val"], kind: Literal["instances", "person_keypoints"]
) -> tuple[Path, Path, Path | None, str]:
    """Annotation file, image folder and captions (where they are there) of a split, and what to do if it lacks images.

    Raises:
        DatasetDMError: what is missing, and where to get it.
    """
    year = f"{split}2017"
    remedy = COCO_DOWNLOAD.format(year=year)
    images_dir, annotations = root / year, root / "annotations"
    annotation_file, captions_file = annotations / f"{kind}_{year}.json", annotations / f"captions_{year}.json"
    for path in (root, images_dir, annotation_file):
        if not path.exists():
            state = "is a link to something that is not there" if path.is_symlink() else "is missing"
            raise DatasetDMError(
                f"{path} {state}. Put your own data there under that name (a link will do). For COCO itself: {remedy}"
            )
    return annotation_file, images_dir, captions_file if captions_file.exists() else None, remedy


def open_native_coco_keypoints(root: Path, split: Literal["train", "val"]) -> CocoKeypointSplit:
    """Open a split of COCO 2017 (or of anything in its layout) as downloaded and unpacked.

    Reads `<split>2017/`, `annotations/person_keypoints_<split>2017.json` and, where it is there,
    `annotations/captions_<split>2017.json`.

    Raises:
        DatasetDMError: what is missing, with how many of how many images, and where to get it.
    """
    annotation_file, images_dir, captions_file, remedy = find_coco(root, split, "person_keypoints")
    data = load_coco_keypoints(annotation_file, images_dir, captions_file)
    data.objects.check_complete(remedy)
    return data

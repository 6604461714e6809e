"""KITTI depth (Uhrig et al., arXiv 1708.06500) in the layout of the released DatasetDM code, with Eigen's lists.

`input/<date>/<drive>/image_02/data/0000000005.png` and
`gt_depth/<drive>/proj_depth/groundtruth/image_02/0000000005.png` (16-bit, metres x 256, 0 = no LiDAR return), with
`kitti_eigen_train.txt`, whose lines are `image depth_map focal_length` below these two folders, and, where it is
there, `kitti_eigen_test.txt`.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

from datasetdm.annotations.sample import Category
from datasetdm.datasets.native.depth_evidence import check_depths
from datasetdm.datasets.native.depth_lists import entries_of, read_listing
from datasetdm.datasets.native.listing import read_captions
from datasetdm.datasets.split import FileSplit
from datasetdm.datasets.standard.depth_png import KITTI_UNITS, Sensor, read_depth

TRAIN_LISTS = ("kitti_eigen_train.txt", "eigen_train_files_with_gt.txt")
TEST_LISTS = ("kitti_eigen_test.txt", "eigen_test_files_with_gt.txt")
VELODYNE = Sensor(units_per_metre=KITTI_UNITS, farthest=120.0, common=12.0)  # a laser scanner, HDL-64E
STREET = Category(id=1, name="street", supercategory="outdoor")


def open_kitti(root: Path, split: Literal["train", "val"]) -> FileSplit:
    """Open a split; depth is read when a sample is asked for.

    Without a test list the drives are divided by `depth_lists.split_by_place`. The one category is `street`, which
    every image shows. Captions come from `captions.json` where it is there.

    Raises:
        DatasetDMError: lists or files that are missing or broken, drives in both splits, paths without a drive;
            depth of another unit.
    """
    listing = read_listing(root, split, TRAIN_LISTS, TEST_LISTS, _drive)
    captions = read_captions(root / "captions.json")
    entries = entries_of(listing.file, listing.pairs, root / "input", root / "gt_depth", _name, captions)
    check_depths(listing.file, entries, VELODYNE)
    return FileSplit(
        listing.file,
        [STREET],
        entries,
        read_target=lambda entry: read_depth(entry.annotation, VELODYNE),
        labels_of=lambda _: (0,),
    )


def _drive(image: str) -> str:
    """`2011_09_26_drive_0005_sync` of its images' paths."""
    for part in PurePosixPath(image).parent.parts:
        if "_drive_" in part:
            return part
    raise ValueError("which is not in the folder of a drive, such as 2011_09_26_drive_0005_sync")


def _name(image: str) -> str:
    """`2011_09_26_drive_0005_sync_image_02_0000000010.png`: drive, camera and frame."""
    parts = [part for part in PurePosixPath(image).parts if part != "data"]
    return "_".join(parts[parts.index(_drive(image)) :])

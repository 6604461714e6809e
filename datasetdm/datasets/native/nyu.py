"""NYU Depth V2 (Silberman et al., ECCV 2012) in the layout of BTS and of the released DatasetDM code.

`sync/<scene>/rgb_00000.jpg` and `sync/<scene>/sync_depth_00000.png` (16-bit millimetres, 0 = unknown), with
`train_list.txt`, whose lines are `/<scene>/rgb_00000.jpg /<scene>/sync_depth_00000.png 518.8579`, and, where it is
there, `test_list.txt` with images in `official_splits/test/`.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Literal

from datasetdm.annotations.sample import Category
from datasetdm.datasets.native.depth_evidence import check_depths
from datasetdm.datasets.native.depth_lists import entries_of, read_listing
from datasetdm.datasets.native.listing import read_captions
from datasetdm.datasets.split import FileSplit
from datasetdm.datasets.standard.depth_png import MILLIMETRES, Sensor, read_depth

TRAIN_LISTS = ("train_list.txt", "nyudepthv2_train_files_with_gt.txt")
TEST_LISTS = ("test_list.txt", "nyudepthv2_test_files_with_gt.txt")
KINECT = Sensor(units_per_metre=MILLIMETRES, farthest=10.0, common=2.0)
# One part of the recording of a room (living_room_0012a), or, in the test set, the kind of room alone.
_SCENE = re.compile(r"(?P<kind>[a-z]+(?:_[a-z]+)*)(?P<number>_\d+)?[a-z]?")
_KIND_OF = {"nyu_office": "office"}  # the university's name says nothing of what is to be seen


def open_nyu(root: Path, split: Literal["train", "val"]) -> FileSplit:
    """Open a split; depth is read when a sample is asked for.

    Without a test list the rooms (`living_room_0012`, all its parts together) are divided by
    `depth_lists.split_by_place`. The categories are the kinds of room, and an image has one label, the kind that its
    folder names. Captions come from `captions.json` where it is there.

    Raises:
        DatasetDMError: lists or files that are missing or broken, rooms in both splits, other folder names;
            depth of another unit.
    """
    listing = read_listing(root, split, TRAIN_LISTS, TEST_LISTS, _room)
    official = root / "official_splits" / "test"
    folder = official if listing.is_test_list and official.is_dir() else root / "sync"
    captions = read_captions(root / "captions.json")
    entries = entries_of(listing.file, listing.pairs, folder, folder, _name, captions)
    check_depths(listing.file, entries, KINECT)
    kinds = sorted({_kind(pair.image) for pair in listing.everything})
    return FileSplit(
        listing.file,
        [Category(id=number, name=kind, supercategory="room") for number, kind in enumerate(kinds, start=1)],
        entries,
        read_target=lambda entry: read_depth(entry.annotation, KINECT),
        labels_of=lambda entry: (kinds.index(_kind(entry.image.as_posix())),),
    )


def _name(image: str) -> str:
    """`living_room_0012a_rgb_00000.jpg`: scene and frame."""
    return "_".join(PurePosixPath(image).parts[-2:])


def _room(image: str) -> str:
    """`living_room_0012` of `living_room_0012a/rgb_00000.jpg`."""
    scene = _scene(image)
    return scene["kind"] + (scene["number"] or "")


def _kind(image: str) -> str:
    """`living room` of `living_room_0012a/rgb_00000.jpg`."""
    kind = _scene(image)["kind"]
    return _KIND_OF.get(kind, kind).replace("_", " ")


def _scene(image: str) -> re.Match[str]:
    scene = _SCENE.fullmatch(PurePosixPath(image).parent.name)
    if scene is None:
        raise ValueError("which is not in the folder of a scene, such as living_room_0012a")
    return scene

"""Cityscapes, fine annotations, as downloaded: 19 classes out of the official label ids."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.native.evidence import some_maps
from datasetdm.datasets.native.index_png import label_table, read_semantic_map, semantic_split, values_in
from datasetdm.datasets.native.listing import captions_of, read_captions, require, require_files, visible
from datasetdm.datasets.split import Entry, FileSplit
from datasetdm.errors import DatasetDMError

CITYSCAPES_DOWNLOAD = (
    "Get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from https://www.cityscapes-dataset.com/downloads/ "
    "and unpack both into one folder, or set `source.root` in params.yaml to where they lie."
)

#: The classes that are trained and evaluated, in the order of the official train ids, with their label ids.
CITYSCAPES_CATEGORIES = tuple(
    Category(id=number, name=name, supercategory=kind)
    for number, name, kind in (
        (7, "road", "flat"),
        (8, "sidewalk", "flat"),
        (11, "building", "construction"),
        (12, "wall", "construction"),
        (13, "fence", "construction"),
        (17, "pole", "object"),
        (19, "traffic light", "object"),
        (20, "traffic sign", "object"),
        (21, "vegetation", "nature"),
        (22, "terrain", "nature"),
        (23, "sky", "sky"),
        (24, "person", "human"),
        (25, "rider", "human"),
        (26, "car", "vehicle"),
        (27, "truck", "vehicle"),
        (28, "bus", "vehicle"),
        (31, "train", "vehicle"),
        (32, "motorcycle", "vehicle"),
        (33, "bicycle", "vehicle"),
    )
)
# Where label ids and train ids part: these are no classes among label ids, but road, sky, truck and so on as train ids.
_ONLY_TRAIN_IDS = {0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18}
_ONLY_LABEL_IDS = set(range(19, 34))  # traffic light, vegetation, sky, car and so on: at least one is in every street
_SUSPICIOUS = 4  # of the former, without any of the latter: no street looks so
NUM_IDS = 34  # 0-33; the licence plate's -1 is 255 in files
LICENCE_PLATE = 255
_REMEDY = "Use the labelIds files as they are in gtFine_trainvaltest.zip."
IMAGE_END, ANNOTATION_END = "_leftImg8bit.png", "_gtFine_labelIds.png"


def open_cityscapes(root: Path, split: Literal["train", "val"]) -> FileSplit:
    """Open a split of Cityscapes, or of anything in its layout.

    Pairs `leftImg8bit/<split>/<city>/*_leftImg8bit.png` with `gtFine/<split>/<city>/*_gtFine_labelIds.png`. Label ids
    outside the 19 classes become `IGNORE`; numbers that are no label ids are refused. At the root there may be
    `captions.json`, `{file name: [captions]}`.

    Raises:
        DatasetDMError: what is missing and where to get it; train ids under the name of label ids.
    """
    images, annotations = root / "leftImg8bit" / split, root / "gtFine" / split
    require([root, images, annotations], CITYSCAPES_DOWNLOAD)
    names = {_name(path, images, IMAGE_END) for path in visible(images.glob(f"*/*{IMAGE_END}"))}
    names |= {_name(path, annotations, ANNOTATION_END) for path in visible(annotations.glob(f"*/*{ANNOTATION_END}"))}
    captions = read_captions(root / "captions.json")
    entries = [_entry(images, annotations, name, captions) for name in sorted(names)]
    require_files(entries, images, CITYSCAPES_DOWNLOAD)
    _check_label_ids(annotations, entries)
    label_of = dict.fromkeys((*range(NUM_IDS), LICENCE_PLATE), IGNORE)
    label_of |= {category.id: label for label, category in enumerate(CITYSCAPES_CATEGORIES)}
    read = partial(read_semantic_map, table=label_table(label_of), remedy=_REMEDY)
    return semantic_split(images, CITYSCAPES_CATEGORIES, entries, read)


def _check_label_ids(annotations: Path, entries: Sequence[Entry]) -> None:
    """Train ids would pass for label ids: vegetation (8) would become sidewalk, and cars (13) fences."""
    seen: set[int] = set()
    for values in some_maps(entries, bits=8):
        seen.update(values_in(values).tolist())
        if seen & _ONLY_LABEL_IDS:
            return
    if len(seen & _ONLY_TRAIN_IDS) >= _SUSPICIOUS:
        raise DatasetDMError(
            f"{annotations}: the pixel values of its {ANNOTATION_END} files are {', '.join(map(str, sorted(seen)))}. "
            "These are train ids (0 = road, ..., 18 = bicycle), not label ids (7 = road, ..., 33 = bicycle). "
            f"{_REMEDY}"
        )


def _name(path: Path, folder: Path, end: str) -> str:
    """`<city>/<city>_<sequence>_<frame>`, which image and annotation have in common."""
    return path.relative_to(folder).as_posix().removesuffix(end)


def _entry(images: Path, annotations: Path, name: str, captions: dict[str, tuple[str, ...]]) -> Entry:
    image, annotation = images / f"{name}{IMAGE_END}", annotations / f"{name}{ANNOTATION_END}"
    return Entry(name=image.name, image=image, annotation=annotation, captions=captions_of(captions, image.name))

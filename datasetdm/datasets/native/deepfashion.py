"""DeepFashion-MultiModal, human parsing with 24 classes, as downloaded (Jiang et al., "Text2Human", 2022)."""

import hashlib
import re
from functools import partial
from pathlib import Path
from typing import Literal

from datasetdm.annotations.categories import BACKGROUND
from datasetdm.annotations.sample import Category
from datasetdm.datasets.native.index_png import label_table, read_semantic_map, semantic_split
from datasetdm.datasets.native.listing import (
    Finder,
    captions_of,
    read_captions,
    read_names,
    require,
    require_files,
    visible,
    without_suffix,
)
from datasetdm.datasets.split import Entry, FileSplit
from datasetdm.errors import DatasetDMError
from datasetdm.utils.paths import check_name

DEEPFASHION_DOWNLOAD = (
    "Get images.zip, segm.zip and captions.json from https://github.com/yumingj/DeepFashion-MultiModal and unpack "
    "them into one folder with images/, segm/ and captions.json in it, or set `source.root` in params.yaml to where "
    "they lie."
)

#: In the order of the indices.
DEEPFASHION_NAMES = (
    BACKGROUND,
    *("top", "outer", "skirt", "dress", "pants", "leggings", "headwear", "eyeglass", "neckwear", "belt", "footwear"),
    *("bag", "hair", "face", "skin", "ring", "wrist wearing", "socks", "gloves", "necklace", "rompers", "earrings"),
    "tie",
)
_REMEDY = "Use the parsing maps (0 to 23) as they are in segm.zip."
ANNOTATION_END = "_segm"
VAL_SHARE = 10  # one outfit in so many is held out where there are no lists


def open_deepfashion(root: Path, split: Literal["train", "val"]) -> FileSplit:
    """Open a split of DeepFashion-MultiModal, or of anything in its layout.

    Reads `images/`, `segm/<name>_segm.png` (or `<name>.png`) and, where it is there, `captions.json`. The images of a
    split are those in `train.txt` and `val.txt` at the root, names with or without suffix. The data set comes without
    such lists; without them every image that has a parsing map is used, and a tenth of the outfits (all pictures of
    an outfit share the number after `id_`), those with the smallest SHA-256 of their name, are the validation set.

    Raises:
        DatasetDMError: what is missing and where to get it; or lists and captions that cannot be used.
    """
    require([root, root / "images", root / "segm"], DEEPFASHION_DOWNLOAD)
    list_file, stems = _stems(root, split)
    captions = read_captions(root / "captions.json")
    finder = Finder()
    entries = [_entry(root, stem, finder, captions) for stem in stems]
    require_files(entries, list_file, DEEPFASHION_DOWNLOAD)
    categories = tuple(Category(id=label, name=name) for label, name in enumerate(DEEPFASHION_NAMES))
    table = label_table({label: label for label in range(len(categories))})
    return semantic_split(list_file, categories, entries, partial(read_semantic_map, table=table, remedy=_REMEDY))


def _stems(root: Path, split: Literal["train", "val"]) -> tuple[Path, list[str]]:
    """What lists the images, and their names without suffix."""
    lists = {name: root / f"{name}.txt" for name in ("train", "val")}
    present = [file for file in lists.values() if file.exists()]
    if len(present) == 1:
        raise DatasetDMError(
            f"{present[0]} is there, but the other of train.txt and val.txt is not: write both lists, or remove it, "
            "and a fixed tenth of the outfits is held out."
        )
    if present:
        names = read_names(lists[split], "Write one image name per line.")
        for name in names:
            check_name(name, where=str(lists[split]))
        return lists[split], [without_suffix(name) for name in names]
    stems = sorted(path.stem.removesuffix(ANNOTATION_END) for path in visible((root / "segm").glob("*.png")))
    held_out = _held_out(stems)
    return root / "segm", [stem for stem in stems if (_outfit(stem) in held_out) == (split == "val")]


def _held_out(stems: list[str]) -> set[str]:
    outfits = sorted({_outfit(stem) for stem in stems}, key=lambda name: hashlib.sha256(name.encode()).digest())
    return set(outfits[: max(1, len(outfits) // VAL_SHARE)])


def _outfit(stem: str) -> str:
    """`MEN-Denim-id_00000080` of `MEN-Denim-id_00000080-01_7_additional`: its pictures stay on one side."""
    match = re.match(r".*?id_\d+", stem)
    return match[0] if match else stem


def _entry(root: Path, stem: str, finder: Finder, captions: dict[str, tuple[str, ...]]) -> Entry:
    image = finder.image(root / "images", stem)
    official, plain = (finder.file(root / "segm", f"{stem}{end}.png") for end in (ANNOTATION_END, ""))
    annotation = plain if plain.is_file() and not official.is_file() else official
    return Entry(
        name=image.name,
        image=image,
        annotation=annotation,
        captions=captions_of(captions, image.name),
        group=_outfit(stem),
    )

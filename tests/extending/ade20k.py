"""ADE20K for scene parsing (Zhou et al., CVPR 2017), as `ADEChallengeData2016.zip` unpacks: 150 classes in index PNG.

It would lie in `datasetdm/datasets/native/`.
"""

from functools import partial
from pathlib import Path
from typing import Literal

from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.datasets.native.index_png import label_table, read_semantic_map, semantic_split
from datasetdm.datasets.native.listing import read_names, require, require_files, visible
from datasetdm.datasets.split import Entry, FileSplit

DOWNLOAD = (
    "Get ADEChallengeData2016.zip from http://sceneparsing.csail.mit.edu and set `source.root` in params.yaml to the "
    "folder that it unpacks."
)
FOLDERS = {"train": "training", "val": "validation"}
UNLABELLED = 0


def open_ade20k(root: Path, split: Literal["train", "val"]) -> FileSplit:
    """Open a split: `images/<training|validation>/*.jpg`, `annotations/<training|validation>/*.png`.

    Raises:
        DatasetDMError: what is missing and where to get it.
    """
    images, annotations = (root / kind / FOLDERS[split] for kind in ("images", "annotations"))
    require([root / "objectInfo150.txt", images, annotations], DOWNLOAD)
    categories = read_categories(root / "objectInfo150.txt")
    entries = [
        Entry(name=image.name, image=image, annotation=annotations / f"{image.stem}.png")
        for image in visible(images.glob("*.jpg"))
    ]
    require_files(entries, images, DOWNLOAD)
    table = label_table({UNLABELLED: IGNORE} | {category.id: label for label, category in enumerate(categories)})
    return semantic_split(images, categories, entries, partial(read_semantic_map, table=table))


def read_categories(file: Path) -> list[Category]:
    """The classes: a header, then lines such as `13 0.0185 18994 1314 person, individual, someone`, tabs between."""
    rows = [line.split("\t") for line in read_names(file, DOWNLOAD)[1:]]
    return [Category(id=int(row[0]), name=row[-1].split(",")[0].strip()) for row in rows]

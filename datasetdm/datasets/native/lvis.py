"""LVIS, versions 1 and 0.5: instances of some 1200 categories on COCO's images (arXiv 1908.03195).

The annotation is *federated*: in each image some categories were looked for only. How that is kept and judged:
`Instances.judged` and `datasetdm.evaluation.coco`.
"""

from pathlib import Path
from typing import Any, Literal

from datasetdm.datasets.native.listing import read_captions
from datasetdm.datasets.standard.coco import CocoSplit
from datasetdm.datasets.standard.coco_records import read_records
from datasetdm.errors import DatasetDMError

LVIS_DOWNLOAD = (
    "Get lvis_v1_{split}.json.zip from https://www.lvisdataset.org/dataset and train2017.zip and val2017.zip from "
    "https://cocodataset.org/#download (LVIS's validation images come out of both), and unpack all into one folder, or "
    "set `source.root` in params.yaml to where they lie."
)


class LvisSplit(CocoSplit):
    """A split of LVIS; the names of its images start with their folder (`val2017/000000391895.jpg`)."""

    def name_of(self, index: int) -> str:
        """The name as it would be in COCO: `val2017_000000391895.jpg`."""
        return self.names[index].replace("/", "_")


def open_lvis(root: Path, split: Literal["train", "val"]) -> LvisSplit:
    """Open a split of LVIS (or of anything in its layout) as downloaded and unpacked.

    Reads `lvis_v1_<split>.json` or else `lvis_v0.5_<split>.json`, in `root` or in `root/annotations`. Where only parts
    of the split are there (`lvis_v0.5_val_subset.json`), it is the largest whose images are all there. An image is
    found by the last two parts of its `coco_url` (`train2017/000000391895.jpg`), or else by its `file_name`, below
    `root`. Every image that the annotations list has to be there; whether it can be decoded shows when it is read.
    Captions, which LVIS has none of, come from `root/captions.json` (`{"val2017/000000391895.jpg": [captions]}`) where
    it is there.

    Raises:
        DatasetDMError: what is missing, with how many of how many images, and where to get it; inconsistent records.
    """
    remedy = LVIS_DOWNLOAD.format(split=split)
    splits = [_open(file, root, split) for file in _annotation_files(root, split, remedy)]
    complete = [data for data in splits if not data.missing_images()]
    data = max(complete or splits, key=len)
    data.check_complete(remedy)
    return data


def _annotation_files(root: Path, split: str, remedy: str) -> list[Path]:
    folders = (root, root / "annotations")
    whole = [folder / f"lvis_{version}_{split}.json" for version in ("v1", "v0.5") for folder in folders]
    for file in whole:
        if file.is_file():
            return [file]
    parts = [file for folder in folders for file in sorted(folder.glob(f"lvis_v*_{split}_*.json"))]
    if not parts:
        lacking = whole[0] if root.is_dir() else root
        raise DatasetDMError(f"The data set is incomplete: {lacking} is missing. {remedy}")
    return parts


def _open(file: Path, root: Path, split: str) -> LvisSplit:
    def with_file_name(record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "file_name": _file_name(record, split)}

    records = read_records(file, with_file_name)
    captions = read_captions(root / "captions.json")
    return LvisSplit(
        file,
        root,
        records,
        {image["id"]: captions[image["file_name"]] for image in records.images if captions.get(image["file_name"])},
    )


def _file_name(record: dict[str, Any], split: str) -> Any:
    """Path below the root, out of a record that is not checked yet."""
    url, name = record.get("coco_url"), record.get("file_name")
    if isinstance(url, str):
        return "/".join(url.split("/")[-2:])
    if isinstance(name, str) and name.startswith("COCO_"):
        # v0.5 has the names of 2014 (COCO_val2014_000000266409.jpg), but is made for the split of 2017.
        return f"{split}2017/{name.rpartition('_')[2]}"
    return name

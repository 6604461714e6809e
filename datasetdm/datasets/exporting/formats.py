"""The formats of exports: what each is, which tasks it can carry, and what it loses. One line adds one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from datasetdm.errors import DatasetDMError

if TYPE_CHECKING:  # the command line reads this list, and does not wait for slow imports
    from datasetdm.datasets.exporting.exporting import Export


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format.

    Attributes:
        title: what people call it, and what reads it.
        tasks: name of each task that it can carry -> what it loses, in a few words; empty: nothing.
        writer: `module:function`, called as `function(export, folder)`; it fills the folder.
        plain_names: names of images hold no blanks.
    """

    title: str
    tasks: Mapping[str, str]
    writer: str
    plain_names: bool = False

    @property
    def write(self) -> "Callable[[Export, Path], None]":
        """The writer."""
        found: Callable[[Export, Path], None] = resolve_name(self.writer)
        return found


_SEAMS = "crowd regions; parts and holes of a mask are joined by seams"
_EVERYTHING = {"instance": "", "semantic": "", "depth": "", "pose": ""}

FORMATS: dict[str, Format] = {
    "coco": Format(
        title="COCO JSON with masks as RLE (pycocotools, mmdet, Detectron2, FiftyOne, supervision)",
        tasks={"instance": "", "pose": ""},
        writer="datasetdm.datasets.exporting.coco:write_coco",
    ),
    "coco_polygons": Format(
        title="COCO JSON with masks as polygons, for tools that cannot read RLE",
        tasks={"instance": "holes are joined to the outline by seams", "pose": "as for instance segmentation"},
        writer="datasetdm.datasets.exporting.coco:write_coco_polygons",
    ),
    "yolo": Format(
        title="YOLO segmentation or pose (ultralytics)",
        tasks={"instance": _SEAMS, "pose": "crowd regions, masks"},
        writer="datasetdm.datasets.exporting.yolo:write_yolo",
    ),
    "yolo_boxes": Format(
        title="YOLO detection: boxes alone (ultralytics)",
        tasks={"instance": "crowd regions, masks", "pose": "crowd regions, masks, keypoints"},
        writer="datasetdm.datasets.exporting.yolo:write_yolo_boxes",
    ),
    "voc": Format(
        title="PASCAL VOC: index masks, and XML with boxes (mmseg, torchvision, CVAT)",
        tasks={"instance": "where objects overlap, the larger one loses the pixels", "semantic": ""},
        writer="datasetdm.datasets.exporting.voc:write_voc",
        plain_names=True,
    ),
    "cvat": Format(
        title="CVAT for images 1.1: XML with masks or skeletons",
        tasks={"instance": "", "semantic": "", "pose": "crowd regions, masks"},
        writer="datasetdm.datasets.exporting.cvat:write_cvat",
    ),
    "imagefolder": Format(
        title="Hugging Face imagefolder: images, metadata.jsonl and maps as PNG (datasets)",
        tasks=_EVERYTHING,
        writer="datasetdm.datasets.exporting.imagefolder:write_imagefolder",
    ),
    "parquet": Format(
        title="Parquet shards with images inside (datasets, pandas, Hugging Face's viewer)",
        tasks=_EVERYTHING,
        writer="datasetdm.datasets.exporting.parquet:write_parquet",
    ),
    "webdataset": Format(
        title="WebDataset: tar shards (webdataset, datasets)",
        tasks=_EVERYTHING,
        writer="datasetdm.datasets.exporting.tar_shards:write_webdataset",
    ),
}


def choose_format(name: str, task: str) -> Format:
    """The format of that name.

    Raises:
        DatasetDMError: it cannot carry the task; the message says which can.
    """
    chosen = FORMATS[name]
    if task in chosen.tasks:
        return chosen
    able = [other for other, known in FORMATS.items() if task in known.tasks]
    remedy = f"These can: {', '.join(able)}." if able else "No format can; the sets lie in data/ as PNG and JSON."
    raise DatasetDMError(f"The format {name} cannot carry annotations of the task '{task}'. {remedy}")

"""The file formats of the field: pairs of `load_*` and `save_*`, and what they share."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from datasetdm.formats.cityscapes import open_cityscapes
from datasetdm.formats.coco import CocoSplit, load_coco, save_coco
from datasetdm.formats.coco_keypoints import open_native_coco_keypoints
from datasetdm.formats.deepfashion import open_deepfashion
from datasetdm.formats.kitti import open_kitti
from datasetdm.formats.lvis import open_lvis
from datasetdm.formats.native import open_native_coco
from datasetdm.formats.nyu import open_nyu
from datasetdm.formats.split import Split
from datasetdm.formats.virtual_kitti import open_virtual_kitti
from datasetdm.formats.voc import open_voc

#: Every native layout by the name that `source.format` in params.yaml has for it.
NATIVE_FORMATS: dict[str, Callable[[Path, Literal["train", "val"]], Split]] = {
    "coco": open_native_coco,
    "coco_pose": open_native_coco_keypoints,
    "lvis": open_lvis,
    "voc": open_voc,
    "cityscapes": open_cityscapes,
    "deepfashion": open_deepfashion,
    "nyu": open_nyu,
    "kitti": open_kitti,
    "virtual_kitti": open_virtual_kitti,
}

__all__ = ["NATIVE_FORMATS", "CocoSplit", "Split", "load_coco", "open_native_coco", "save_coco"]

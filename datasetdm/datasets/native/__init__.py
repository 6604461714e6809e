"""Data sets in the layouts of their makers."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from datasetdm.datasets.native.cityscapes import open_cityscapes
from datasetdm.datasets.native.coco import open_native_coco, open_native_coco_keypoints
from datasetdm.datasets.native.deepfashion import open_deepfashion
from datasetdm.datasets.native.kitti import open_kitti
from datasetdm.datasets.native.lvis import open_lvis
from datasetdm.datasets.native.nyu import open_nyu
from datasetdm.datasets.native.virtual_kitti import open_virtual_kitti
from datasetdm.datasets.native.voc import open_voc
from datasetdm.datasets.split import Split

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

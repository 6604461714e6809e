"""The miniworld in the native layout of every benchmark, so that the loaders of the real data sets read it."""

from collections.abc import Callable

from datasetdm.miniworld.exports.cityscapes import export_cityscapes
from datasetdm.miniworld.exports.coco import export_coco
from datasetdm.miniworld.exports.deepfashion import export_deepfashion
from datasetdm.miniworld.exports.kitti import export_kitti
from datasetdm.miniworld.exports.lvis import export_lvis
from datasetdm.miniworld.exports.nyu import export_nyu
from datasetdm.miniworld.exports.virtual_kitti import export_virtual_kitti
from datasetdm.miniworld.exports.voc import export_voc

#: The export of each layout, called as `export(root, num_train=, num_val=, seed=, image_size=, distribution=)`.
EXPORTS: dict[str, Callable[..., None]] = {
    "coco": export_coco,
    # COCO's annotations hold the keypoints of persons.
    "coco_pose": export_coco,
    "lvis": export_lvis,
    "voc": export_voc,
    "cityscapes": export_cityscapes,
    "deepfashion": export_deepfashion,
    "nyu": export_nyu,
    "kitti": export_kitti,
    "virtual_kitti": export_virtual_kitti,
}

__all__ = ["EXPORTS", "export_coco"]

"""The layouts of real data that `source.format` can name: what each holds, and who reads it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """The layout of a data set, as its makers publish it.

    Attributes:
        task: name of the task that its annotations are for.
        reader: `module:function`, called as `function(root, split)` with "train" or "val"; returns a `Split` of
            `datasetdm.datasets.split`. It is imported when data are read; the settings are checked before that.
        crowds: whether an annotation may be a region with several objects (COCO's `iscrowd: 1`).
    """

    task: str
    reader: str
    crowds: bool = False


LAYOUTS: dict[str, Layout] = {
    "coco": Layout("instance", "datasetdm.datasets.native.coco:open_native_coco", crowds=True),
    "coco_pose": Layout("pose", "datasetdm.datasets.native.coco:open_native_coco_keypoints", crowds=True),
    "lvis": Layout("instance", "datasetdm.datasets.native.lvis:open_lvis", crowds=True),
    "voc": Layout("semantic", "datasetdm.datasets.native.voc:open_voc"),
    "cityscapes": Layout("semantic", "datasetdm.datasets.native.cityscapes:open_cityscapes"),
    "deepfashion": Layout("semantic", "datasetdm.datasets.native.deepfashion:open_deepfashion"),
    "nyu": Layout("depth", "datasetdm.datasets.native.nyu:open_nyu"),
    "kitti": Layout("depth", "datasetdm.datasets.native.kitti:open_kitti"),
    "depth_folder": Layout("depth", "datasetdm.datasets.native.depth_folder:open_depth_folder"),
    "virtual_kitti": Layout("depth", "datasetdm.datasets.native.virtual_kitti:open_virtual_kitti"),
}

"""The file formats of the field: pairs of `load_*` and `save_*`, and what they share."""

from datasetdm.formats.coco import CocoSplit, load_coco, save_coco
from datasetdm.formats.native import open_native_coco

__all__ = ["CocoSplit", "load_coco", "open_native_coco", "save_coco"]

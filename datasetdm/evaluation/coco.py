"""COCO's mask AP, by pycocotools, fed one image at a time.

Masks are run-length encoded as they come in, so that thousands of images stay small.
"""

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datasetdm.structures import Instances

REFERENCE_AREA = 640 * 480  # the usual image of COCO, for which its area ranges were chosen
SUMMARY = (  # metric -> (IoU threshold or None for the mean of .50:.05:.95, area range)
    ("mask_ap", None, "all"),
    ("mask_ap50", 0.5, "all"),
    ("mask_ap75", 0.75, "all"),
    ("mask_ap_small", None, "small"),
    ("mask_ap_medium", None, "medium"),
    ("mask_ap_large", None, "large"),
)


class CocoMaskEvaluator:
    """Average precision of instance masks.

    COCO's area ranges (up to 32^2, 32^2 to 96^2, above) hold for images of about 640 x 480; for other sizes
    they are scaled with the image area, since at 128 x 128 hardly any object would be "large" otherwise.

    Args:
        category_names: names in label order.
        size: (height, width) of the images, roughly.
    """

    def __init__(self, category_names: Sequence[str], size: tuple[int, int]):
        self.category_names = tuple(category_names)
        self.area_scale = size[0] * size[1] / REFERENCE_AREA
        self._images: list[dict[str, int]] = []
        self._targets: list[dict[str, Any]] = []
        self._predictions: list[dict[str, Any]] = []

    def add(self, target: Instances, predicted: Instances) -> None:
        """Take in one image: its true and its predicted objects.

        Raises:
            ValueError: their masks differ in size.
        """
        if target.masks.shape[1:] != predicted.masks.shape[1:]:
            raise ValueError(f"masks of {predicted.masks.shape[1:]} cannot be judged by {target.masks.shape[1:]}")
        image_id = len(self._images) + 1
        height, width = target.masks.shape[1:]
        self._images.append({"id": image_id, "height": height, "width": width})
        self._targets += _annotations(target, image_id, len(self._targets))
        self._predictions += _annotations(predicted, image_id, len(self._predictions))

    def compute(self) -> dict[str, float]:
        """`mask_ap`, `mask_ap50`, `mask_ap75`, `mask_ap_small|medium|large` and `mask_ap/<category>`.

        All in [0, 1]; NaN where the true annotation holds no such object (COCO's -1).
        """
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            evaluation = COCOeval(self._coco(self._targets), self._coco(self._predictions), iouType="segm")
            evaluation.params.areaRng = [
                [bound * self.area_scale for bound in pair] for pair in evaluation.params.areaRng
            ]
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval["precision"][..., -1]  # IoU x recall x category x area, at 100 detections
        areas, thresholds = evaluation.params.areaRngLbl, evaluation.params.iouThrs
        metrics = {}
        for name, iou, area in SUMMARY:
            rows = slice(None) if iou is None else np.isclose(thresholds, iou)
            metrics[name] = _mean(precision[rows, :, :, areas.index(area)])
        for label, category in enumerate(self.category_names):
            metrics[f"mask_ap/{category}"] = _mean(precision[:, :, label, areas.index("all")])
        return metrics

    def _coco(self, annotations: list[dict[str, Any]]) -> COCO:
        coco = COCO()
        coco.dataset = {
            "images": self._images,
            "categories": [{"id": label + 1, "name": name} for label, name in enumerate(self.category_names)],
            "annotations": annotations,
        }
        coco.createIndex()
        return coco


def _annotations(instances: Instances, image_id: int, offset: int) -> list[dict[str, Any]]:
    """COCO records; ids count from 1, as pycocotools takes 0 for "not matched"."""
    encoded = mask_utils.encode(np.asfortranarray(instances.masks.transpose(1, 2, 0).astype(np.uint8)))
    return [
        {
            "id": offset + index + 1,
            "image_id": image_id,
            "category_id": int(instances.labels[index]) + 1,
            "segmentation": rle,
            "area": float(mask_utils.area(rle)),
            "bbox": mask_utils.toBbox(rle).tolist(),
            "iscrowd": int(instances.crowd[index]),
            "score": float(instances.scores[index]),
        }
        for index, rle in enumerate(encoded)
    ]


def _mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else math.nan

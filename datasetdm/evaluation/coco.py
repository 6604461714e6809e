"""COCO's and LVIS's mask AP, by pycocotools, fed one image at a time.

Masks are run-length encoded as they are added, so that thousands of images take little memory. Categories are evaluated
one by one, each on the images that concern it. The figures are the same, but all at once pycocotools would go through
every pair of an image and a category, 24 million of them in LVIS and nearly all empty.
"""

import contextlib
import io
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category
from datasetdm.annotations.sizes import REFERENCE_SIDE

SUMMARY = (  # metric -> (IoU threshold or None for the mean of .50:.05:.95, area range)
    ("mask_ap", None, "all"),
    ("mask_ap50", 0.5, "all"),
    ("mask_ap75", 0.75, "all"),
    ("mask_ap_small", None, "small"),
    ("mask_ap_medium", None, "medium"),
    ("mask_ap_large", None, "large"),
)
FREQUENCY_GROUPS = {"r": "mask_ap_rare", "c": "mask_ap_common", "f": "mask_ap_frequent"}
COCO_DETECTIONS = 100  # of one category in an image
LVIS_DETECTIONS = 300  # of all categories in an image
# A table, a plot or a tracking server shows so many figures at the most; and one category of LVIS's long tail, with an
# object or two in the whole test set, has no AP that says anything by itself.
MOST_LISTED_CATEGORIES = 100


class CocoMaskEvaluator:
    """Average precision of instance masks.

    COCO's area ranges (up to 32^2, 32^2 to 96^2, above) hold for images whose longer side has 640 pixels, as nearly all
    of COCO's have. Objects of other images are sorted into them as if those had been enlarged to that: at 128 x 128
    hardly any object would be "large" otherwise.

    Images whose annotation is federated (`Instances.judged`) are judged as LVIS does it (arXiv 1908.03195): of the
    300 best detections those of a category that nobody looked for are left out, and those that match no object do not
    count where their category was not annotated exhaustively. (A detection without a single pixel is wrong to COCO; the
    official program of LVIS ignores it, and so does this one.)

    Args:
        categories: in label order.
    """

    def __init__(self, categories: Sequence[Category]):
        self.categories = tuple(categories)
        self._federated = False
        self._images: list[dict[str, int]] = []
        # By label:
        self._targets: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        self._predictions: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        self._not_exhaustive: defaultdict[int, set[int]] = defaultdict(set)

    def add(self, target: Instances, predicted: Instances) -> None:
        """Add one image: its true and its predicted objects.

        Raises:
            ValueError: their masks differ in size.
        """
        if target.masks.shape[1:] != predicted.masks.shape[1:]:
            raise ValueError(f"masks of {predicted.masks.shape[1:]} cannot be judged by {target.masks.shape[1:]}")
        image_id = len(self._images) + 1
        height, width = target.masks.shape[1:]
        self._images.append({"id": image_id, "height": height, "width": width})
        if target.judged is not None:
            self._federated = True
            best = predicted.select(np.argsort(-predicted.scores, kind="stable")[:LVIS_DETECTIONS])
            predicted = best.select(np.isin(best.labels, target.judged) & best.masks.any(axis=(1, 2)))
        for label in target.not_exhaustive:
            self._not_exhaustive[label].add(image_id)
        _append(target, image_id, self._targets)
        _append(predicted, image_id, self._predictions)

    def compute(self) -> dict[str, float]:
        """`mask_ap`, `mask_ap50`, `mask_ap75`, `mask_ap_small|medium|large` and, of up to 100 categories,
        `mask_ap/<category>`; `mask_ap_rare|common|frequent` where the categories have frequencies.

        All in [0, 1]; NaN where the true annotation holds no such object (COCO's -1).
        """
        parameters = COCOeval(iouType="segm").params
        areas, thresholds = parameters.areaRngLbl, parameters.iouThrs
        precision = self._precisions()
        metrics = {}
        for name, iou, area in SUMMARY:
            rows = slice(None) if iou is None else np.isclose(thresholds, iou)
            metrics[name] = _mean(precision[rows, :, :, areas.index(area)])
        everywhere = precision[..., areas.index("all")]
        frequencies = np.array([category.frequency for category in self.categories])
        if frequencies.astype(bool).any():
            for frequency, name in FREQUENCY_GROUPS.items():
                metrics[name] = _mean(everywhere[:, :, frequencies == frequency])
        if len(self.categories) <= MOST_LISTED_CATEGORIES:
            for label, category in enumerate(self.categories):
                metrics[f"mask_ap/{category.name}"] = _mean(everywhere[:, :, label])
        return metrics

    def by_category(self) -> dict[str, float]:
        """`mask_ap` of every category by name, however many there are; NaN where there is no such object."""
        everywhere = self._precisions()[..., COCOeval(iouType="segm").params.areaRngLbl.index("all")]
        return {category.name: _mean(everywhere[:, :, label]) for label, category in enumerate(self.categories)}

    def _precisions(self) -> np.ndarray:
        """IoU threshold x recall x label x area range; -1 where there is no true object."""
        parameters = COCOeval(iouType="segm").params
        shape = (len(parameters.iouThrs), len(parameters.recThrs), len(self.categories), len(parameters.areaRngLbl))
        precision = -np.ones(shape)
        for label in range(len(self.categories)):
            if self._targets[label]:
                precision[:, :, label] = self._precision(label)
        return precision

    def _precision(self, label: int) -> np.ndarray:
        """IoU threshold x recall x area range."""
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            evaluation = _Evaluation(
                self._coco(self._targets[label]),
                self._coco(self._predictions[label]),
                not_exhaustive=self._not_exhaustive[label],
            )
            parameters = evaluation.params
            parameters.imgIds = sorted(
                {record["image_id"] for record in self._targets[label] + self._predictions[label]}
            )
            parameters.maxDets = [LVIS_DETECTIONS if self._federated else COCO_DETECTIONS]
            evaluation.evaluate()
            evaluation.accumulate()
        return evaluation.eval["precision"][:, :, 0, :, 0]

    def _coco(self, annotations: list[dict[str, Any]]) -> COCO:
        """The annotations of one category (1)."""
        coco = COCO()
        coco.dataset = {"images": self._images, "categories": [{"id": 1}], "annotations": annotations}
        coco.createIndex()
        return coco


class _Evaluation(COCOeval):
    """COCO's evaluation, with LVIS's rule for the images where a category was not annotated exhaustively."""

    def __init__(self, truth: COCO, found: COCO, *, not_exhaustive: set[int]):
        super().__init__(truth, found, iouType="segm")
        self._not_exhaustive = not_exhaustive

    def evaluateImg(self, imgId: int, catId: int, aRng: list[float], maxDet: int) -> dict[str, Any] | None:
        """What pycocotools says of one image, where unmatched detections are ignored if objects may lack."""
        result = super().evaluateImg(imgId, catId, aRng, maxDet)
        if result is not None and imgId in self._not_exhaustive:
            result["dtIgnore"] = np.logical_or(result["dtIgnore"], result["dtMatches"] == 0)
        return result


def _append(instances: Instances, image_id: int, records: defaultdict[int, list[dict[str, Any]]]) -> None:
    """Add COCO records to those of their label; ids count from 1, as pycocotools takes 0 for "not matched"."""
    enlargement = (REFERENCE_SIDE / max(instances.masks.shape[1:])) ** 2
    for index, mask in enumerate(instances.masks):
        rle = mask_utils.encode(np.asfortranarray(mask, dtype=np.uint8))
        of_label = records[int(instances.labels[index])]
        of_label.append(
            {
                "id": len(of_label) + 1,
                "image_id": image_id,
                "category_id": 1,
                "segmentation": rle,
                "area": float(mask_utils.area(rle)) * enlargement,
                "bbox": mask_utils.toBbox(rle).tolist(),
                "iscrowd": int(instances.crowd[index]),
                "score": float(instances.scores[index]),
            }
        )


def _mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else math.nan

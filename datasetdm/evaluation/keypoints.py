"""COCO's keypoint AP (object keypoint similarity, OKS) by pycocotools, fed one image at a time."""

import contextlib
import io
import math
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datasetdm.annotations.persons import Persons
from datasetdm.annotations.sizes import REFERENCE_SIDE

SUMMARY = (  # metric -> (OKS threshold or None for the mean of .50:.05:.95, area range)
    ("keypoint_ap", None, "all"),
    ("keypoint_ap50", 0.5, "all"),
    ("keypoint_ap75", 0.75, "all"),
    ("keypoint_ap_medium", None, "medium"),
    ("keypoint_ap_large", None, "large"),
)


class CocoKeypointEvaluator:
    """Average precision of persons by the similarity of their keypoints; at most 20 persons an image count.

    Crowds and persons without a labelled keypoint are neither missed nor wrong. COCO's area ranges (medium: 32^2 to
    96^2) hold for images whose longer side has 640 pixels. Persons of other images are sorted into them as if each
    image had been enlarged to that, which changes nothing about the similarity of their keypoints.
    """

    def __init__(self) -> None:
        self._images: list[dict[str, int]] = []
        self._targets: list[dict[str, Any]] = []
        self._predictions: list[dict[str, Any]] = []

    def add(self, target: Persons, predicted: Persons) -> None:
        """Add one image: its true and its predicted persons; the masks of the predicted ones do not matter."""
        image_id = len(self._images) + 1
        self._images.append({"id": image_id})
        true_areas = target.masks.sum(axis=(1, 2))
        # What pycocotools' loadRes takes for the area of a predicted person: the extent of its keypoints.
        extents = np.ptp(predicted.keypoints[..., :2], axis=1).prod(axis=1) if len(predicted) else np.zeros(0)
        enlargement = REFERENCE_SIDE / max(target.masks.shape[1:])
        self._targets += _records(target, true_areas, enlargement, image_id, len(self._targets))
        self._predictions += _records(predicted, extents, enlargement, image_id, len(self._predictions))

    def compute(self) -> dict[str, float]:
        """`keypoint_ap`, `keypoint_ap50`, `keypoint_ap75`, `keypoint_ap_medium` and `keypoint_ap_large`.

        All in [0, 1]; NaN where the true annotation holds no such person (COCO's -1).
        """
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            evaluation = COCOeval(self._coco(self._targets), self._coco(self._predictions), iouType="keypoints")
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval["precision"][..., 0, :, 0]  # OKS x recall x area
        areas, thresholds = evaluation.params.areaRngLbl, evaluation.params.iouThrs
        metrics = {}
        for name, oks, area in SUMMARY:
            rows = slice(None) if oks is None else np.isclose(thresholds, oks)
            known = precision[rows, :, areas.index(area)]
            known = known[known > -1]
            metrics[name] = float(known.mean()) if known.size else math.nan
        return metrics

    def _coco(self, annotations: list[dict[str, Any]]) -> COCO:
        coco = COCO()
        coco.dataset = {
            "images": self._images,
            "categories": [{"id": 1, "name": "person"}],
            "annotations": annotations,
        }
        coco.createIndex()
        return coco


def _records(
    persons: Persons, areas: np.ndarray, enlargement: float, image_id: int, offset: int
) -> list[dict[str, Any]]:
    """COCO records in the enlarged image; ids count from 1, as pycocotools takes 0 for "not matched"."""
    return [
        {
            "id": offset + index + 1,
            "image_id": image_id,
            "category_id": 1,
            "keypoints": (keypoints.astype(np.float64) * (enlargement, enlargement, 1)).ravel().tolist(),
            "num_keypoints": int((keypoints[:, 2] > 0).sum()),
            "bbox": (persons.boxes[index].astype(np.float64) * enlargement).tolist(),
            "area": float(areas[index]) * enlargement**2,
            "iscrowd": int(persons.crowd[index]),
            "score": float(persons.scores[index]),
        }
        for index, keypoints in enumerate(persons.keypoints)
    ]

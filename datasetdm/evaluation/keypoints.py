"""COCO's keypoint AP (object keypoint similarity, OKS) by pycocotools, fed one image at a time."""

import contextlib
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datasetdm.annotations.persons import Persons
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.coco import REFERENCE_SIDE

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
        """Take in one image: its true and its predicted persons; the masks of the predicted ones do not matter."""
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


@dataclass(frozen=True)
class MeanPose:
    """The trivial baseline: every person stands as the mean of all does, stretched into the box.

    Attributes:
        points: float, K x 2: x and y as shares of the box's width and height.
    """

    points: np.ndarray

    @classmethod
    def fit(cls, targets: Iterable[Persons]) -> "MeanPose":
        """The mean over the labelled keypoints; a kind of keypoint that nobody has is put at the box's centre.

        Raises:
            DatasetDMError: no person has a labelled keypoint.
        """
        sums, counts = np.zeros((0, 2)), np.zeros(0)
        for persons in targets:
            used = persons.select(np.flatnonzero(~persons.crowd & (persons.boxes[:, 2:] > 0).all(axis=1)))
            labelled = used.keypoints[..., 2] > 0
            shares = (used.keypoints[..., :2] + 0.5 - used.boxes[:, None, :2]) / used.boxes[:, None, 2:]
            part = (shares * labelled[..., None]).sum(axis=0)
            sums, counts = (sums + part, counts + labelled.sum(axis=0)) if len(sums) else (part, labelled.sum(axis=0))
        if not counts.any():
            raise DatasetDMError(
                "There is no mean pose, as no person of the training images has a labelled keypoint: raise "
                "ingest.num_real in params.yaml."
            )
        return cls(np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], 0.5))

    def predict(self, boxes: np.ndarray) -> Persons:
        """One person per box (N x 4: x, y, width, height), with scores of 1 and without masks (N x 0 x 0)."""
        count = len(boxes)
        keypoints = np.ones((count, len(self.points), 3), dtype=np.float32)
        keypoints[..., :2] = boxes[:, None, :2] + self.points * boxes[:, None, 2:] - 0.5
        return Persons(
            keypoints=keypoints,
            boxes=np.asarray(boxes, dtype=np.float32),
            masks=np.zeros((count, 0, 0), dtype=bool),
            scores=np.ones(count, dtype=np.float32),
            crowd=np.zeros(count, dtype=bool),
        )

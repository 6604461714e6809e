"""OKS agrees with pycocotools."""

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datasetdm.annotations.masks import boxes_of_masks
from datasetdm.annotations.persons import Persons
from datasetdm.evaluation.similarity import keypoint_similarity


def persons(rng: np.random.Generator, count: int) -> Persons:
    keypoints = np.concatenate([rng.uniform(0, 40, (count, 17, 2)), np.full((count, 17, 1), 2.0)], axis=2)
    masks = np.zeros((count, 40, 60), dtype=bool)
    masks[:, 5:30, 10:40] = True
    return Persons(
        keypoints=keypoints.astype(np.float32), boxes=boxes_of_masks(masks), masks=masks,
        scores=np.ones(count, np.float32), crowd=np.zeros(count, bool),
    )  # fmt: skip


def test_similarity_of_keypoints() -> None:
    rng = np.random.default_rng(0)
    truth, found = persons(rng, 3), persons(rng, 4)
    truth.keypoints[0, 5:] = 0
    found.keypoints[:3, :, :2] = truth.keypoints[..., :2] + rng.normal(0, 2, (3, 17, 2))
    official = COCOeval(iouType="keypoints")
    official.params.imgIds, official.params.catIds, official.params.maxDets = [1], [1], [20]

    def records(people: Persons, **more) -> list[dict]:
        boxes = people.boxes.tolist()
        points = people.keypoints.reshape(len(people), -1).tolist()
        return [
            {"id": n, "keypoints": points[n], "bbox": boxes[n], "area": 750.0, "score": 1.0, **more}
            for n in range(len(people))
        ]

    official.cocoGt = COCO()
    official._gts[1, 1], official._dts[1, 1] = records(truth, iscrowd=0), records(found)
    for record in official._gts[1, 1]:
        record["num_keypoints"] = 17
    assert keypoint_similarity(found, truth) == pytest.approx(official.computeOks(1, 1), abs=1e-6)


def test_a_person_without_keypoints_is_like_nobody() -> None:
    truth = persons(np.random.default_rng(0), 1)
    truth.keypoints[:] = 0
    assert keypoint_similarity(persons(np.random.default_rng(1), 2), truth).tolist() == [[0], [0]]

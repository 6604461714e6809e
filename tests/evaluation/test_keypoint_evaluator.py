import math
from dataclasses import replace

import numpy as np
import pytest

from datasetdm.annotations.persons import Persons
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.baselines import MeanPose
from datasetdm.evaluation.keypoints import CocoKeypointEvaluator

SIZE = (64, 64)


def person(left: int, top: int, side: int, labelled: int = 17) -> Persons:
    """A person whose keypoints lie on a grid in a square box, the first `labelled` of them visible."""
    mask = np.zeros((1, *SIZE), dtype=bool)
    mask[0, top : top + side, left : left + side] = True
    places = np.array([(k % 4, k // 4) for k in range(17)], dtype=np.float32)
    keypoints = np.zeros((1, 17, 3), dtype=np.float32)
    keypoints[0, :, :2] = (left, top) + places * side / 5
    keypoints[0, :labelled, 2] = 2
    keypoints[0, labelled:] = 0
    return Persons(
        keypoints=keypoints,
        boxes=np.array([[left, top, side, side]], dtype=np.float32),
        masks=mask,
        scores=np.ones(1, dtype=np.float32),
        crowd=np.zeros(1, dtype=bool),
    )


def together(*persons: Persons, scores: tuple[float, ...] | None = None) -> Persons:
    names = ("keypoints", "boxes", "masks", "scores", "crowd")
    parts = {name: np.concatenate([getattr(one, name) for one in persons]) for name in names}
    if scores is not None:
        parts["scores"] = np.array(scores, dtype=np.float32)
    return Persons(**parts)


def moved(persons: Persons, pixels: float) -> Persons:
    return Persons(
        keypoints=persons.keypoints + np.array([pixels, 0, 0], dtype=np.float32),
        boxes=persons.boxes,
        masks=persons.masks,
        scores=persons.scores,
        crowd=persons.crowd,
    )


NOBODY = person(0, 0, 10).select(np.zeros(1, dtype=bool))


def score(target: Persons, predicted: Persons) -> dict[str, float]:
    evaluator = CocoKeypointEvaluator()
    evaluator.add(target, predicted)
    return evaluator.compute()


def test_perfect_poses_give_one() -> None:
    target = together(person(2, 2, 20), person(30, 30, 25, labelled=5))
    metrics = score(target, target)
    assert set(metrics) == {
        "keypoint_ap", "keypoint_ap50", "keypoint_ap75", "keypoint_ap_medium", "keypoint_ap_large"
    }  # fmt: skip
    assert metrics["keypoint_ap"] == pytest.approx(1)
    assert metrics["keypoint_ap_large"] == pytest.approx(1)


def test_no_predictions_give_zero_and_nothing_to_find_is_nan() -> None:
    assert score(person(2, 2, 20), NOBODY)["keypoint_ap"] == 0
    assert math.isnan(score(NOBODY, person(2, 2, 20))["keypoint_ap"])
    assert math.isnan(CocoKeypointEvaluator().compute()["keypoint_ap"])


def test_similarity_is_that_of_the_formula() -> None:
    """All keypoints off by d: OKS is the mean of exp(-d^2 / (2 area (2 sigma)^2)) over COCO's sigmas."""
    sigmas = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
    target = person(10, 10, 30)
    for distance in (1.0, 2.0, 3.0):
        oks = np.exp(-(distance**2) / (2 * 900 * (2 * sigmas) ** 2)).mean()
        expected = np.mean(np.linspace(0.5, 0.95, 10) <= oks)
        assert 0 < expected < 1
        assert score(target, moved(target, distance))["keypoint_ap"] == pytest.approx(expected)


def test_unlabelled_keypoints_do_not_count() -> None:
    target, predicted = person(10, 10, 30, labelled=8), person(10, 10, 30)
    predicted.keypoints[0, 8:, :2] = 63
    assert score(target, predicted)["keypoint_ap"] == pytest.approx(1)


def test_crowds_and_persons_without_keypoints_are_neither_missed_nor_wrong() -> None:
    bare = person(40, 40, 20, labelled=0)
    target = together(person(2, 2, 20), bare)
    assert score(target, person(2, 2, 20))["keypoint_ap"] == pytest.approx(1)
    both = together(person(40, 40, 20), person(2, 2, 20), scores=(1.0, 0.5))
    assert score(target, both)["keypoint_ap"] == pytest.approx(1)
    crowd = Persons(
        keypoints=bare.keypoints, boxes=bare.boxes, masks=bare.masks, scores=bare.scores, crowd=np.ones(1, dtype=bool)
    )
    assert score(together(person(2, 2, 20), crowd), both)["keypoint_ap"] == pytest.approx(1)


def test_scores_rank_persons() -> None:
    target = person(2, 2, 20)
    elsewhere = person(40, 40, 20)
    assert score(target, together(target, elsewhere, scores=(0.9, 0.1)))["keypoint_ap"] == pytest.approx(1)
    assert score(target, together(target, elsewhere, scores=(0.1, 0.9)))["keypoint_ap"] == pytest.approx(0.5)


def test_area_ranges_scale_with_the_image() -> None:
    """At 64 x 64 "medium" reaches from 13.7 to 122.9 pixels."""
    target = together(person(2, 2, 8), person(20, 20, 40))
    metrics = score(target, person(20, 20, 40))
    assert metrics["keypoint_ap_medium"] == 0
    assert metrics["keypoint_ap_large"] == pytest.approx(1)


def test_area_ranges_scale_with_each_image_by_itself() -> None:
    """A person of 40 x 40 pixels is large in an image of 64 x 64 and medium in one of 640 x 480."""
    small, large = person(20, 20, 40), person(20, 20, 40)
    large = replace(large, masks=np.pad(large.masks, ((0, 0), (0, 416), (0, 576))))
    for order in ((small, large), (large, small)):
        evaluator = CocoKeypointEvaluator()
        for target in order:
            evaluator.add(target, target if target is large else NOBODY)
        metrics = evaluator.compute()
        assert metrics["keypoint_ap_medium"] == pytest.approx(1)
        assert metrics["keypoint_ap_large"] == 0


def test_images_are_kept_apart_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    evaluator = CocoKeypointEvaluator()
    evaluator.add(person(2, 2, 20), NOBODY)
    evaluator.add(NOBODY, person(2, 2, 20))
    assert evaluator.compute()["keypoint_ap"] == 0
    assert capsys.readouterr().out == ""


def test_the_mean_pose_of_equal_persons_is_theirs() -> None:
    target = together(person(2, 2, 20), person(30, 30, 30, labelled=9))
    mean = MeanPose.fit([target, NOBODY])
    found = mean.predict(target.boxes)
    # Points are pixel centres and boxes edges, so that half a pixel weighs differently in boxes of different size.
    np.testing.assert_allclose(found.keypoints[0, :, :2], target.keypoints[0, :, :2], atol=0.2)
    assert score(target, found)["keypoint_ap"] == pytest.approx(1)
    assert mean.predict(np.zeros((0, 4))).keypoints.shape == (0, 17, 3)


def test_the_mean_pose_leaves_out_what_is_not_labelled() -> None:
    mean = MeanPose.fit([person(2, 2, 20, labelled=3), person(30, 2, 20, labelled=5)])
    np.testing.assert_allclose(mean.points[4], [(0 + 0.5) / 20, (4 + 0.5) / 20], atol=1e-6)
    np.testing.assert_allclose(mean.points[5:], 0.5)
    with pytest.raises(DatasetDMError, match="no mean pose"):
        MeanPose.fit([person(2, 2, 20, labelled=0), NOBODY])
    with pytest.raises(DatasetDMError, match="no mean pose"):
        MeanPose.fit([])

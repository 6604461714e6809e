from dataclasses import replace

import numpy as np

from datasetdm import config
from datasetdm.annotations.persons import KEYPOINT_SCORE
from datasetdm.annotations.sample import Prediction
from datasetdm.filters import build_filter
from datasetdm.filters.base import NOT_FOUND
from datasetdm.filters.pose import MIN_KEYPOINTS
from tests.annotations.test_persons import COUPLE, PERSON, people

FILTER = build_filter(config.PoseAnnotation(), [PERSON])


def thresholds(**values: object) -> config.Filter:
    return config.Filter.model_validate(values)


def predicted(scores: tuple[float, float] = (0.9, 0.8), height: float = 0.6) -> Prediction:
    keypoints = COUPLE.keypoints.copy()
    keypoints[..., 2] = height
    target = replace(COUPLE, keypoints=keypoints, scores=np.array(scores, dtype=np.float32))
    return Prediction(target=target, score=float(np.mean(scores)))


def test_accepted_persons_are_annotations() -> None:
    prediction = predicted()
    prediction.target.keypoints[0, 5, 2] = KEYPOINT_SCORE - 0.01
    accepted = FILTER.accept(prediction, thresholds())
    assert accepted.rejected is None
    flags = accepted.target.keypoints[..., 2]
    assert set(flags.ravel().tolist()) == {0, 2} and (flags == 0).sum() == 1
    np.testing.assert_array_equal(accepted.target.keypoints[0, 5], 0)
    np.testing.assert_array_equal(accepted.target.keypoints[1, :, :2], COUPLE.keypoints[1, :, :2])
    assert accepted.scores["num_keypoints"] == 33 and accepted.scores["num_objects"] == 2
    assert prediction.target.keypoints[0, 5, 2] > 0  # the prediction is left as it was


def test_filters_and_their_reasons() -> None:
    assert len(FILTER.accept(predicted((0.9, 0.3)), thresholds(score_threshold=0.5)).target) == 1
    assert FILTER.accept(predicted((0.2, 0.1)), thresholds(score_threshold=0.5)).rejected is not None
    assert FILTER.accept(predicted(), thresholds(min_area=0.6)).rejected == "no object above the minimum area"
    assert len(FILTER.accept(predicted(), thresholds(max_instances=1)).target) == 1
    faint = FILTER.accept(predicted(height=KEYPOINT_SCORE / 2), thresholds())
    assert faint.rejected == "no person with enough keypoints"
    few = predicted()
    few.target.keypoints[0, MIN_KEYPOINTS - 1 :, 2] = 0
    accepted = FILTER.accept(few, thresholds())
    assert accepted.rejected is None and len(accepted.target) == 2
    assert (accepted.target.keypoints[..., 2] > 0).sum(axis=1).tolist() == [0, 17]
    nothing = Prediction(target=COUPLE.select(np.zeros(2, dtype=bool)), score=0)
    assert FILTER.accept(nothing, thresholds()).rejected is not None


def test_only_keypoints_that_a_teacher_is_certain_of_are_labels() -> None:
    found = replace(COUPLE, keypoints=COUPLE.keypoints.copy(), masks=np.zeros_like(COUPLE.masks))  # no mask is drawn
    found.keypoints[..., 2] = 0.6
    found.keypoints[0, 0, 2] = 0.4
    found.keypoints[0, 1, 0] = -3  # outside the image
    found.keypoints[1, MIN_KEYPOINTS - 1 :, 2] = 0.1
    trusted = FILTER.filter_pseudo_labels(found, 0.5, thresholds())
    assert trusted.rejected is None and len(trusted.target) == 1
    assert trusted.target.keypoints[0, :3, 2].tolist() == [0, 0, 2]
    np.testing.assert_array_equal(trusted.target.masks, COUPLE.masks[:1])  # the persons are rectangles
    assert FILTER.filter_pseudo_labels(found, 0.7, thresholds()).rejected == "no person with enough keypoints"


def test_another_number_of_persons_than_asked_for_is_rejected() -> None:
    strict = thresholds(require_prompted=True)
    reasons = [FILTER.accept(predicted(), strict, {0: count}).rejected for count in (None, 1, 2, 3)]
    assert reasons == [None, NOT_FOUND, None, NOT_FOUND]
    assert FILTER.accept(predicted(), thresholds(), {0: 1}).rejected is None


def test_accepted_masks_share_no_pixel_and_boxes_follow() -> None:
    overlapping = people((4, 6, 16, 36), (18, 6, 30, 36))
    overlapping.keypoints[..., 2] = 0.9
    target = replace(overlapping, scores=np.array([0.9, 0.8], dtype=np.float32))
    accepted = FILTER.accept(Prediction(target=target, score=0.8), thresholds()).target
    assert not accepted.masks.all(axis=0).any()
    assert accepted.boxes.tolist() == [[4, 6, 16, 36], [20, 6, 28, 36]]

import math

import numpy as np
import pytest

from datasetdm.evaluation.coco import CocoMaskEvaluator
from datasetdm.structures import Instances

SIZE = (64, 64)


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def some_objects() -> Instances:
    return Instances.of(np.array([square(2, 2, 20), square(30, 30, 10), square(50, 5, 3)]), np.array([0, 1, 0]))


def crowded(instances: Instances, crowd: list[bool]) -> Instances:
    return Instances(masks=instances.masks, labels=instances.labels, scores=instances.scores, crowd=np.array(crowd))


def score(target: Instances, predicted: Instances) -> dict[str, float]:
    evaluator = CocoMaskEvaluator(["box", "disc", "star"], SIZE)
    evaluator.add(target, predicted)
    return evaluator.compute()


def test_perfect_predictions_give_one_and_absent_categories_nan() -> None:
    metrics = score(some_objects(), some_objects())
    for name in ("mask_ap", "mask_ap50", "mask_ap75", "mask_ap/box", "mask_ap/disc"):
        assert metrics[name] == pytest.approx(1)
    assert math.isnan(metrics["mask_ap/star"])


def test_no_predictions_give_zero() -> None:
    metrics = score(some_objects(), Instances.empty(*SIZE))
    assert metrics["mask_ap"] == 0
    assert metrics["mask_ap50"] == 0


def test_nothing_to_find_is_nan() -> None:
    assert math.isnan(score(Instances.empty(*SIZE), some_objects())["mask_ap"])
    assert math.isnan(CocoMaskEvaluator(["box"], SIZE).compute()["mask_ap"])


def test_wrong_category_counts_as_missed() -> None:
    wrong = Instances.of(some_objects().masks, np.array([2, 2, 2]))
    assert score(some_objects(), wrong)["mask_ap"] == 0


def test_a_partial_overlap_counts_up_to_its_iou() -> None:
    target = Instances.of(np.array([square(0, 0, 20)]), np.array([0]))
    predicted = Instances.of(np.array([square(0, 0, 20) & (np.arange(64) < 13)]), np.array([0]))  # IoU 0.65
    metrics = score(target, predicted)
    assert metrics["mask_ap50"] == pytest.approx(1)
    assert metrics["mask_ap75"] == 0
    assert metrics["mask_ap"] == pytest.approx(0.4, abs=0.01)  # thresholds .50, .55, .60, .65 of ten


def test_crowds_are_neither_missed_nor_wrong() -> None:
    target = crowded(some_objects(), [False, False, True])
    kept = some_objects().select(np.array([0, 1]))
    assert score(target, kept)["mask_ap"] == pytest.approx(1)
    inside_crowd = Instances.of(np.array([*kept.masks, square(50, 5, 2)]), np.array([0, 1, 0]), np.array([1, 1, 1]))
    assert score(target, inside_crowd)["mask_ap"] == pytest.approx(1)


def test_area_ranges_scale_with_the_image() -> None:
    """At 64 x 64 the bounds are 32^2 and 96^2 times 4096 / 307200: 13.7 and 122.9 pixels."""
    target = Instances.of(np.array([square(0, 0, 3), square(20, 20, 8), square(40, 40, 15)]), np.array([0, 0, 0]))
    metrics = score(target, target.select(np.array([0, 2])))
    assert metrics["mask_ap_small"] == pytest.approx(1)
    assert metrics["mask_ap_medium"] == 0
    assert metrics["mask_ap_large"] == pytest.approx(1)


def test_scores_rank_detections() -> None:
    target = Instances.of(np.array([square(0, 0, 10)]), np.array([0]))
    masks = np.array([square(0, 0, 10), square(40, 40, 10)])
    good = Instances.of(masks, np.array([0, 0]), np.array([0.9, 0.1]))
    bad = Instances.of(masks, np.array([0, 0]), np.array([0.1, 0.9]))
    assert score(target, good)["mask_ap"] == pytest.approx(1)
    assert score(target, bad)["mask_ap"] == pytest.approx(0.5)


def test_images_are_kept_apart_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    evaluator = CocoMaskEvaluator(["box", "disc"], SIZE)
    evaluator.add(some_objects(), Instances.empty(*SIZE))
    evaluator.add(Instances.empty(*SIZE), some_objects())
    assert evaluator.compute()["mask_ap"] == 0
    assert capsys.readouterr().out == ""


def test_masks_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be judged"):
        score(some_objects(), Instances.empty(32, 32))

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.evaluation.baselines import MajorityMap
from datasetdm.evaluation.semantic import SemanticEvaluator

NAMES = ("background", "box", "disc", "star")
LABELS = st.sampled_from([0, 1, 2, 3, IGNORE])
MAPS = hnp.arrays(np.uint8, (2, 3, 4), elements=LABELS)


def score(true: object, found: object, **groups: tuple[int, ...]) -> dict[str, float]:
    evaluator = SemanticEvaluator(NAMES, **groups)
    evaluator.add(SemanticMap.of(np.array(true)), SemanticMap.of(np.array(found)))
    return evaluator.compute()


def test_iou_by_hand() -> None:
    metrics = score([[0, 0, 1, 1]], [[0, 1, 1, 2]])
    assert metrics["iou/background"] == pytest.approx(1 / 2)
    assert metrics["iou/box"] == pytest.approx(1 / 3)
    assert math.isnan(metrics["iou/disc"])  # predicted, but not there: it counts against the others only
    assert metrics["miou"] == pytest.approx(5 / 12)
    assert metrics["pixel_accuracy"] == pytest.approx(1 / 2)


@given(MAPS, MAPS)
@settings(max_examples=40, deadline=None)
def test_agrees_with_the_definition(true: np.ndarray, found: np.ndarray) -> None:
    evaluator = SemanticEvaluator(NAMES)
    for pair in zip(true, found, strict=True):
        evaluator.add(*map(SemanticMap.of, pair))
    metrics, counted = evaluator.compute(), true != IGNORE
    values = []
    for label, name in enumerate(NAMES):
        wanted, got = (true == label) & counted, (found == label) & counted
        if wanted.any():
            values.append((wanted & got).sum() / (wanted | got).sum())
            assert metrics[f"iou/{name}"] == pytest.approx(values[-1])
        else:
            assert math.isnan(metrics[f"iou/{name}"])
    assert metrics["miou"] == pytest.approx(np.mean(values) if values else math.nan, nan_ok=True)


@given(MAPS)
@settings(max_examples=20, deadline=None)
def test_the_truth_itself_is_perfect(true: np.ndarray) -> None:
    metrics = score(true[0], true[0])
    assert metrics["miou"] == metrics["pixel_accuracy"] == 1 or (true[0] == IGNORE).all()


def test_ignored_truth_is_not_counted_and_ignored_predictions_are_wrong() -> None:
    assert score([[1, IGNORE]], [[1, 2]])["miou"] == 1
    metrics = score([[1, 1, 1, 1]], [[1, 1, 1, IGNORE]])
    assert metrics["miou"] == metrics["pixel_accuracy"] == pytest.approx(3 / 4)
    assert math.isnan(score([[IGNORE]], [[1]])["miou"])
    assert math.isnan(SemanticEvaluator(NAMES).compute()["miou"])


def test_seen_and_unseen() -> None:
    metrics = score([[0, 0, 1, 3]], [[0, 0, 1, 1]], unseen=(3,))
    assert metrics["miou_seen"] == pytest.approx((1 + 1 / 2) / 2)
    assert metrics["miou_unseen"] == metrics["miou_harmonic"] == 0
    metrics = score([[0, 0, 1, 3, 3]], [[0, 0, 1, 1, 3]], unseen=(3,))
    assert metrics["miou_harmonic"] == pytest.approx(2 * 0.75 * 0.5 / 1.25)
    assert score([[0]], [[1]], unseen=(0,))["miou_unseen"] == 0
    assert "miou_seen" not in score([[0]], [[0]])


def test_head_and_tail() -> None:
    metrics = score([[0, 1, 2, 2]], [[0, 1, 2, 1]], tail=(2, 3))
    assert metrics["miou_head"] == pytest.approx((1 + 1 / 2) / 2)
    assert metrics["miou_tail"] == pytest.approx(1 / 2)
    assert "miou_unseen" not in metrics


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be judged"):
        score([[0, 1]], [[0], [1]])
    for true, found in (([[4]], [[0]]), ([[0]], [[4]]), ([[0]], [[254]])):
        with pytest.raises(ValueError, match="none of the 4 categories"):
            score(true, found)


def test_the_baseline_gives_the_majority_at_each_place() -> None:
    above, below = np.zeros((10, 20)), np.zeros((30, 12))
    above[:5], below[:15] = 2, 2
    below[:, 6:] = IGNORE
    baseline = MajorityMap.fit([SemanticMap.of(above), SemanticMap.of(below), SemanticMap.of(np.full((4, 4), 3))])
    found = baseline.predict((16, 8))
    assert found.labels.shape == (16, 8)
    assert (found.labels[:8, :4] == 2).all()
    assert (found.labels[8:, :4] == 0).all()


def test_the_baseline_knows_what_to_say_where_nothing_is_known() -> None:
    half = np.full((8, 8), IGNORE)
    half[:4], half[0, 0] = 1, 2
    assert set(np.unique(MajorityMap.fit([SemanticMap.of(half)]).predict((8, 8)).labels[4:])) == {1}
    for nothing in ([], [SemanticMap.of(np.full((8, 8), IGNORE))]):
        with pytest.raises(ValueError, match="labelled pixel"):
            MajorityMap.fit(nothing)

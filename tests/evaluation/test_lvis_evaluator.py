"""LVIS's federated evaluation on cases that can be worked out by hand.

The figures of the official program (lvis 0.5.3) on real annotations were the same to the last digit when compared.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category
from datasetdm.evaluation.coco import CocoMaskEvaluator

SIZE = (64, 64)
CUP, KITE, LLAMA = range(3)
CATEGORIES = [
    Category(id=7, name="cup", frequency="f"),
    Category(id=8, name="kite", frequency="c"),
    Category(id=9, name="llama", frequency="r"),
]


def square(top: int, left: int, side: int = 10) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def objects(*placed: tuple[int, np.ndarray], scores: list[float] | None = None) -> Instances:
    labels, masks = [label for label, _ in placed], np.array([mask for _, mask in placed])
    return Instances.of(masks.reshape(-1, *SIZE), np.array(labels), None if scores is None else np.array(scores))


def score(target: Instances, predicted: Instances) -> dict[str, float]:
    evaluator = CocoMaskEvaluator(CATEGORIES)
    evaluator.add(target, predicted)
    return evaluator.compute()


def test_a_category_that_nobody_looked_for_is_neither_right_nor_wrong() -> None:
    """Two images; the false kite in the second, ranked first, halves kite's AP only where kites were looked for."""
    aps = {}
    for judged in ((CUP,), (CUP, KITE), None):
        evaluator = CocoMaskEvaluator(CATEGORIES)
        evaluator.add(objects((KITE, square(0, 0))), objects((KITE, square(0, 0)), scores=[0.5]))
        cup = replace(objects((CUP, square(0, 0))), judged=judged)
        evaluator.add(cup, objects((CUP, square(0, 0)), (KITE, square(30, 30)), scores=[0.9, 0.9]))
        aps[judged] = evaluator.compute()["mask_ap/kite"]
    assert aps == {(CUP,): pytest.approx(1), (CUP, KITE): pytest.approx(0.5), None: pytest.approx(0.5)}


def test_unmatched_detections_do_not_count_where_objects_may_lack() -> None:
    target = replace(objects((CUP, square(0, 0))), judged=(CUP,))
    predicted = objects((CUP, square(30, 30)), (CUP, square(0, 0)), scores=[0.9, 0.5])
    assert score(target, predicted)["mask_ap"] == pytest.approx(0.5)
    assert score(replace(target, not_exhaustive=(CUP,)), predicted)["mask_ap"] == pytest.approx(1)
    # What is annotated must still be found.
    assert score(replace(target, not_exhaustive=(CUP,)), predicted.select(np.array([0])))["mask_ap"] == 0


def test_the_rule_holds_for_that_image_and_that_category_alone() -> None:
    target = replace(objects((CUP, square(0, 0)), (KITE, square(20, 20))), judged=(CUP, KITE), not_exhaustive=(CUP,))
    predicted = objects(
        *((label, mask) for label in (CUP, KITE) for mask in (square(50, 50), square(20 * label, 20 * label))),
        scores=[0.9, 0.5, 0.9, 0.5],
    )
    metrics = score(target, predicted)
    assert metrics["mask_ap/cup"] == pytest.approx(1)
    assert metrics["mask_ap/kite"] == pytest.approx(0.5)
    evaluator = CocoMaskEvaluator(CATEGORIES)
    evaluator.add(target, predicted)
    evaluator.add(replace(target, not_exhaustive=()), predicted)
    # Cups: at 0.9 one counts as wrong; then both are found, with precision 2/3.
    assert evaluator.compute()["mask_ap/cup"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("rank", "found"), [(300, 1), (301, 0)])
def test_three_hundred_detections_of_an_image_count(rank: int, found: int) -> None:
    """Those of all categories together, even of some that were not judged."""
    masks = np.array([*[square(30, 30)] * (rank - 1), square(0, 0)])
    predicted = Instances.of(masks, np.array([KITE] * (rank - 1) + [CUP]), np.linspace(1, 0.1, rank))
    target = replace(objects((CUP, square(0, 0))), judged=(CUP,))
    assert score(target, predicted)["mask_ap"] == pytest.approx(found)
    # COCO takes 100 of each category.
    assert score(replace(target, judged=None), predicted)["mask_ap/cup"] == pytest.approx(1)


def test_more_than_a_hundred_of_one_category_count() -> None:
    predicted = Instances.of(
        np.array([*[square(30, 30)] * 150, square(0, 0)]), np.array([CUP] * 151), np.linspace(1, 0.1, 151)
    )
    target = objects((CUP, square(0, 0)))
    assert score(target, predicted)["mask_ap"] == 0
    assert score(replace(target, judged=(CUP,)), predicted)["mask_ap"] == pytest.approx(1 / 151, rel=1e-3)


def test_detections_without_a_pixel_are_passed_over() -> None:
    predicted = objects((CUP, square(0, 0, side=0)), (CUP, square(0, 0)), scores=[0.9, 0.5])
    target = objects((CUP, square(0, 0)))
    assert score(replace(target, judged=(CUP,)), predicted)["mask_ap"] == pytest.approx(1)
    assert score(target, predicted)["mask_ap"] == pytest.approx(0.5)


def test_frequency_groups() -> None:
    target = objects((CUP, square(0, 0)), (KITE, square(20, 20)))
    metrics = score(target, objects((CUP, square(0, 0)), (KITE, square(40, 40))))
    assert metrics["mask_ap_frequent"] == pytest.approx(1)
    assert metrics["mask_ap_common"] == 0
    assert math.isnan(metrics["mask_ap_rare"])
    assert metrics["mask_ap"] == pytest.approx(0.5)
    plain = CocoMaskEvaluator([replace(category, frequency="") for category in CATEGORIES])
    plain.add(target, target)
    assert not any(name.endswith(("rare", "common", "frequent")) for name in plain.compute())

"""The measures of labels, and the variants on readings that are known."""

import numpy as np
import pytest

from benchmarks.labels.measures import area_under_curve, measure, recall_at_precision, right_objects
from benchmarks.labels.variants import FLIP, PLAIN, VARIANTS
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.tasks.instance import InstanceTask

CATEGORIES = (Category(id=1, name="box"), Category(id=2, name="disc"))


def boxes(*rows: tuple[int, int, int, float]) -> Instances:
    """Boxes of 8 x width pixels in an image of 30 x 41: left, width, label, score."""
    masks = np.zeros((len(rows), 30, 41), dtype=bool)
    for mask, (left, width, _, _) in zip(masks, rows, strict=True):
        mask[5:13, left : left + width] = True
    return Instances.of(masks, np.array([row[2] for row in rows]), np.array([row[3] for row in rows]))


TRUTH = boxes((2, 10, 0, 1), (20, 10, 1, 1))


def test_a_true_object_is_found_once_and_by_its_class() -> None:
    found = boxes((2, 10, 0, 0.9), (3, 10, 0, 0.8), (20, 10, 0, 0.7), (20, 4, 1, 0.6), (21, 10, 1, 0.5))
    assert right_objects(TRUTH, found).tolist() == [True, False, False, False, True]
    assert right_objects(Instances.empty(30, 41), found).tolist() == [False] * 5
    assert measure(CATEGORIES, [TRUTH], [TRUTH])["mask_ap"] == pytest.approx(1)


def test_recall_at_a_precision() -> None:
    sure_and_right = [boxes((2, 10, 0, 0.9)), boxes((20, 10, 1, 0.8))]
    assert recall_at_precision([TRUTH, TRUTH], sure_and_right) == 0.5
    assert recall_at_precision([TRUTH], [boxes((2, 10, 1, 0.9), (20, 10, 1, 0.8))]) == 0  # the surest is wrong


def test_area_under_the_curve_counts_pairs() -> None:
    right = np.array([True, True, False, False])
    assert area_under_curve(np.array([4.0, 3, 2, 1]), right) == 1
    assert area_under_curve(np.array([4.0, 1, 2, 1]), right) == pytest.approx((2 + 0 + 0.5) / 4)
    assert np.isnan(area_under_curve(np.ones(2), np.ones(2, dtype=bool)))


def test_a_variant_joins_the_readings_that_it_names() -> None:
    task = InstanceTask(CATEGORIES)
    readings = {PLAIN: Prediction(target=boxes((2, 10, 0, 0.8)), score=0.8)}
    readings[FLIP] = Prediction(target=boxes((2, 10, 0, 0.6), (20, 10, 1, 0.4)), score=0.5)
    image = np.zeros((30, 41, 3), dtype=np.uint8)
    image[5:13, 2:12] = image[5:13, 20:30] = 200
    alone, both = (VARIANTS[name].label(task, [readings], image) for name in ("once", "flip"))
    assert alone.labels.tolist() == [0] and both.labels.tolist() == [0, 1]
    np.testing.assert_allclose(both.scores, [0.7, 0.2], rtol=1e-5)

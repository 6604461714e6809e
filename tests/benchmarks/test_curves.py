import math

import pytest

from benchmarks.curves import equal_labels

CURVE = [(40, 0.2), (80, 0.3), (160, 0.35)]


@pytest.mark.parametrize(("merit", "labels"), [(0.1, 40), (0.2, 40), (0.3, 80), (0.25, 40 * math.sqrt(2)), (0.35, 160)])
def test_labels_that_reach_a_merit(merit: float, labels: float) -> None:
    assert equal_labels(CURVE, merit) == pytest.approx(labels)


def test_a_merit_beyond_the_curve_gives_nothing() -> None:
    assert equal_labels(CURVE, 0.4) is None


def test_a_curve_that_falls_in_between_is_read_where_it_is_first_reached() -> None:
    assert equal_labels([(40, 0.2), (80, 0.18), (160, 0.3)], 0.25) == pytest.approx(80 * 2 ** (0.07 / 0.12))

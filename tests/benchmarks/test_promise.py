"""The check of promises, on images whose labels are as often right as their scores suggest."""

from benchmarks.promise import _drawn, _kept
from datasetdm import config
from datasetdm.calibration.calibration import calibrate
from tests.calibration.test_calibration import JUDGE, PLAIN, images


def test_promises_are_counted_and_judged_on_other_images() -> None:
    settings = config.Filter(target_precision=0.7, min_area=0.0)
    found = _drawn(JUDGE, PLAIN, images(300, seed=1), images(300, seed=2), settings, 150, draws=8)
    assert found["promised"] > 0.5 and found["broken"] <= 0.25
    assert 0.7 < found["precision"] <= 1 and 0 < found["accepted"] < 1


def test_what_was_not_promised_has_no_figures() -> None:
    settings = config.Filter(target_precision=0.97, min_area=0.0)
    none = calibrate(JUDGE, PLAIN, images(60, seed=0), settings, seed=0)
    assert _kept(JUDGE, PLAIN, none, images(60, seed=1), settings) == {"promised": 0.0}
    drawn = _drawn(JUDGE, PLAIN, images(60, seed=1), images(60, seed=2), settings, 40, draws=2)
    assert drawn == {"promised": 0.0, "broken": 0.0}

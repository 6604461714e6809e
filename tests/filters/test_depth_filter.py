import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Prediction
from datasetdm.datasets.standard.depth_png import depth_codec
from datasetdm.filters import build_filter
from tests.annotations.test_depth_map import CATEGORIES, SIZE, assert_same, ramp

FILTER = build_filter(config.DepthAnnotation(), CATEGORIES)


THRESHOLDS = config.Filter()


def prediction_of(depth: np.ndarray) -> Prediction:
    return Prediction(target=DepthMap(depth=depth, valid_mask=np.ones(depth.shape, dtype=bool)), score=1.0)


def test_a_teachers_depth_is_a_label_whatever_the_threshold() -> None:
    depth = np.linspace(1, 5, 48, dtype=np.float32).reshape(6, 8)
    found = DepthMap(depth=depth, valid_mask=np.ones((6, 8), dtype=bool))
    assert FILTER.filter_pseudo_labels(found, 1.0, THRESHOLDS).rejected is None
    flat = DepthMap(depth=np.ones_like(depth), valid_mask=found.valid_mask)
    assert FILTER.filter_pseudo_labels(flat, 0.0, THRESHOLDS).rejected == "depth is the same everywhere"


def test_acceptance() -> None:
    accepted = FILTER.accept(prediction_of(ramp().depth), THRESHOLDS)
    assert accepted.rejected is None
    assert accepted.scores["depth_range"] == pytest.approx(7) and 1 < accepted.scores["median_depth"] < 8
    assert_same(accepted.target, ramp())
    flat = prediction_of(np.full(SIZE, 3, np.float32))
    assert FILTER.accept(flat, THRESHOLDS).rejected == "depth is the same everywhere"
    for wrong in (np.nan, np.inf):
        broken = ramp().depth.copy()
        broken[3, 4] = wrong
        rejected = FILTER.accept(prediction_of(broken), THRESHOLDS)
        assert rejected.rejected == "depth is not finite"
        assert not rejected.target.valid_mask[3, 4] and rejected.target.valid_mask.sum() == broken.size - 1
        depth_codec(10.0).encode(rejected.target)  # a rejected map is kept, too, in a file that holds numbers alone

"""Agreement of readings against the quality of the labels."""

import numpy as np
import pytest

from benchmarks.agreement import measure_labels, table
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Prediction, Sample
from datasetdm.tasks.depth import DepthTask


def depth(metres: float) -> DepthMap:
    return DepthMap(depth=np.full((4, 4), metres, np.float32), valid_mask=np.ones((4, 4), bool))


def sample(number: int, target) -> Sample:
    image = np.zeros((*target.size, 3), np.uint8)
    return Sample(name=f"{number}.png", image=image, caption="a room", target=target)


def test_agreement_that_tells_good_depth_from_bad() -> None:
    samples = [sample(number, depth(2.0)) for number in range(4)]
    found = [
        Prediction(target=depth(2.0 + off), score=1.0, agreement={"flip_agreement": 1 - off, "same": 0.5})
        for off in (0.1, 0.2, 0.4, 0.8)
    ]
    figures = measure_labels(DepthTask([]), samples, found)
    assert figures.keys() == {"flip_agreement"}  # a column that is the same for all images says nothing
    column = figures["flip_agreement"]
    assert column["correlation"] == pytest.approx(1.0)  # a low relative error is a high quality
    assert column["best_0.25"] == pytest.approx(0.05) and column["best_1"] == pytest.approx(0.1875)
    assert "| flip_agreement | 4 | 1.000 | 0.050 |" in table(figures)


def test_images_without_anything_to_judge_do_not_count() -> None:
    known = sample(0, depth(2.0)), sample(1, depth(2.0))
    nothing = sample(2, DepthMap(depth=np.zeros((4, 4), np.float32), valid_mask=np.zeros((4, 4), bool)))
    found = [
        Prediction(target=depth(2.0 + off), score=1.0, agreement={"flip_agreement": off}) for off in (0.2, 0.4, 0.0)
    ]
    column = measure_labels(DepthTask([]), [*known, nothing], found)["flip_agreement"]
    assert column["images"] == 2 and column["correlation"] == pytest.approx(-1.0)

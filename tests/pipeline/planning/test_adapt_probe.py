"""The measurement of the stage `adapt`: a few steps of the training, on images of odd sizes, too."""

from pathlib import Path

import numpy as np
import pytest

from datasetdm.pipeline.context import open_context, release_backbone
from datasetdm.pipeline.lora import encode_pictures
from datasetdm.pipeline.planning.calibration import Calibration
from datasetdm.pipeline.planning.rehearsal import Rehearsal
from datasetdm.pipeline.planning.work import Measure, units_of

MINIWORLD = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 12, "num_val": 5},
}
ADAPT = {"steps": 40, "rank": 2, "batch_size": 2, "prior_weight": 0.5, "num_prior_images": 3}


@pytest.fixture
def calibration(project, edit, tmp_path: Path) -> Calibration:
    project(MINIWORLD)
    edit("benchmarks.coco.adapt", ADAPT)
    return Calibration(Rehearsal(open_context("coco"), tmp_path))


def test_steps_and_prior_images_are_the_work(calibration: Calibration) -> None:
    (unit,) = units_of("adapt", open_context("coco"), 5).values()
    assert unit.work == {Measure.ADAPT: 40, Measure.DRAW: 3}


def test_a_step_is_measured(calibration: Calibration) -> None:
    rate = calibration.rate(Measure.ADAPT)
    assert 0.001 < rate.processor < 60 and rate.seconds > 0.001
    assert rate.flops > 1e8 and rate.memory > 1e6  # a step in the network, not an empty loop
    release_backbone()


def test_pictures_of_any_size_are_encoded_in_order(project) -> None:
    project(MINIWORLD)
    backbone = open_context("coco").backbone()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((37, 61), (90, 7), (128, 128)) * 4]
    found = encode_pictures(backbone, zip(images, map(str, range(12)), strict=True))
    assert found.captions == list(map(str, range(12))) and found.latents.shape == (12, *backbone.latent_shape)
    alone = encode_pictures(backbone, [(images[10], "10")])
    np.testing.assert_allclose(found.latents[10:11], alone.latents, atol=1e-4)
    assert len(encode_pictures(backbone, [])) == 0
    release_backbone()

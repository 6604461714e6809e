"""docs/extending.md, "A detector of mmdet": one file, `datasetdm/downstream/architectures/detection.py`."""

from pathlib import Path

import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.downstream import DOWNSTREAM
from datasetdm.downstream.architectures.detection import MODELS, ModelConfig, packaged_model
from datasetdm.downstream.model_spec import ModelSpec
from datasetdm.downstream.registry import find_model
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.instance import InstanceTask
from tests.downstream.conftest import CATEGORIES, draw_shapes


def solo_r18(settings: config.Downstream, num_classes: int) -> ModelConfig:
    """SOLO (Wang et al., arXiv 1912.04488) with ResNet-18, half the width and object sizes of a small image."""
    model = packaged_model("solo/solo_r50_fpn_1x_coco", settings)
    model["backbone"]["depth"] = 18
    model["neck"].update(in_channels=[64, 128, 256, 512], out_channels=128)
    head, shrink = model["mask_head"], settings.image_size / 800
    head.update(num_classes=num_classes, in_channels=128, feat_channels=128, stacked_convs=2)
    head["num_grids"] = [16, 12, 10, 8, 6]
    head["scale_ranges"] = [[round(side * shrink) or 1 for side in sides] for sides in head["scale_ranges"]]
    model["test_cfg"]["score_thr"] = settings.score_threshold
    return model


def test_a_detector_of_the_registry_trains_and_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "solo_r18", ModelSpec("solo_r18", ("instance",), solo_r18, single_above=64))
    settings = config.Downstream(
        model="solo_r18", image_size=64, iterations=2, batch_size=2, learning_rate=1e-3, score_threshold=0.0
    )
    with pytest.raises(DatasetDMError, match="batch normalisation of solo_r18"):
        find_model("instance", "solo_r18").check(settings.model_copy(update={"batch_size": 1}))

    metrics = DOWNSTREAM["instance"].train(
        settings,
        task=InstanceTask(CATEGORIES),
        datasets=[draw_shapes(tmp_path, "train", 4, seed=0)],
        dev=draw_shapes(tmp_path, "dev", 2, seed=1),
        seed=0,
        out=tmp_path / "trained",
        device="cpu",
    )
    assert 0 <= metrics["mask_ap"] <= 1
    (found,) = DOWNSTREAM["instance"].load(tmp_path / "trained", "cpu").predict([np.zeros((48, 64, 3), np.uint8)])
    assert isinstance(found, Instances) and found.masks.shape[1:] == (48, 64)

"""What `downstream.model` may be is known without importing the frameworks, and rightly."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from datasetdm import config
from datasetdm.downstream import DOWNSTREAM, LIMITS, Limits, check_limits, dense_models, models, pose_models
from datasetdm.errors import DatasetDMError
from tests.downstream.test_dense_models import shallow

SETTINGS = config.Downstream(model="solov2_r18", image_size=64, iterations=1, learning_rate=0.1)


def test_the_names_are_those_of_the_models() -> None:
    def dense(task: str) -> list[str]:
        return [name for name, spec in dense_models.MODELS.items() if task in spec.tasks]

    assert {task: list(model.models) for task, model in DOWNSTREAM.items()} == {
        "instance": list(models.MODELS),
        "semantic": dense("semantic"),
        "depth": dense("depth"),
        "pose": list(pose_models.MODELS),
    }


def settings_of(**changes: object) -> config.Downstream:
    return SETTINGS.model_copy(update=changes)


def test_limits_are_those_of_the_models() -> None:
    assert set(LIMITS) <= {name for model in DOWNSTREAM.values() for name in model.models}
    assert {name: LIMITS[name].multiple for name in pose_models.MODELS} == {
        name: 4 * spec.patch_size for name, spec in pose_models.MODELS.items()
    }


@pytest.mark.parametrize("name", [name for name in dense_models.MODELS if "swin" not in name])
def test_a_batch_of_one_is_refused_where_a_dense_model_cannot_learn_from_it(name: str) -> None:
    spec = dense_models.MODELS[name]
    for size in (32, 64):
        network = spec.network(shallow(spec.architecture(2))).train()
        images, targets = torch.randn(1, 3, size, size), torch.zeros((1, size, size), dtype=torch.int64)
        settings = settings_of(model=name, image_size=size, batch_size=1)
        if size <= LIMITS.get(name, Limits()).single_above:
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                network.loss(images, targets, torch.nn.functional.cross_entropy)
            with pytest.raises(DatasetDMError, match=r"batch_size is 1, but the batch norm.*set it to 2"):
                check_limits(settings)
        else:
            network.loss(images, targets, torch.nn.functional.cross_entropy)
            check_limits(settings)


@pytest.mark.parametrize("name", ["mask-rcnn_r18", "solov2_r18", "condinst_r18"])
def test_a_batch_of_one_is_refused_where_a_detector_cannot_learn_from_it(name: str) -> None:
    """At the largest image size that is too small and at the next one, of an image seen at half size."""
    limit = int(LIMITS[name].single_above)
    for size in (limit, limit + 1):
        settings = settings_of(model=name, image_size=size, batch_size=1)
        model = models.build_model(models.model_config(settings, 2)).train()
        side = (size + 1) // 2
        sample = DetDataSample(metainfo={"img_shape": (side, side)})
        sample.gt_instances = InstanceData(masks=BitmapMasks(np.zeros((0, side, side), np.uint8), side, side))
        data = {"inputs": [torch.zeros((3, side, side), dtype=torch.uint8)], "data_samples": [sample]}
        images = model.data_preprocessor(data, training=True)["inputs"]
        if size == limit:
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                model.backbone(images)
            with pytest.raises(DatasetDMError, match=f"image_size above {limit}"):
                check_limits(settings)
        else:
            model.backbone(images)
            check_limits(settings)


def test_all_that_does_not_fit_is_told_at_once() -> None:
    odd = settings_of(model="vitpose_small", image_size=96)
    with pytest.raises(DatasetDMError, match=r"multiple of 64.*set it to 128 or 64"):
        DOWNSTREAM["pose"].check_model(odd)
    DOWNSTREAM["pose"].check_model(settings_of(model="vitpose_small", image_size=128, batch_size=1))


def test_what_would_fail_at_the_end_fails_at_the_start() -> None:
    DOWNSTREAM["instance"].check_model(SETTINGS)
    with pytest.raises(DatasetDMError, match=r"'solov2_r18' is no model for this task.*vitpose_tiny"):
        DOWNSTREAM["pose"].check_model(SETTINGS)

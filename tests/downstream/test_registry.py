"""What `downstream.model` may be is known without importing the frameworks, and rightly."""

from itertools import chain

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from datasetdm import config
from datasetdm.downstream import DOWNSTREAM
from datasetdm.downstream.architectures.pose import crop_size
from datasetdm.downstream.detection.model import build_network as build_detector
from datasetdm.downstream.model_spec import ModelSpec
from datasetdm.downstream.registry import CATALOGUES, find_model, models_of
from datasetdm.errors import DatasetDMError
from tests.downstream.dense.test_dense_networks import shallow_network

SETTINGS = config.Downstream(model="solov2_r18", image_size=64, iterations=1, learning_rate=0.1)


def settings_of(**changes: object) -> config.Downstream:
    return SETTINGS.model_copy(update=changes)


def test_every_task_has_models_and_every_model_a_function_that_builds_it() -> None:
    assert all(models_of(task) for task in DOWNSTREAM)
    for spec in chain.from_iterable(models.values() for models in CATALOGUES):
        assert set(spec.tasks) <= set(DOWNSTREAM)
        size = max(64, spec.size_multiple)
        assert spec.build(settings_of(model=spec.name, image_size=size), 2) is not None


@pytest.mark.parametrize("spec", models_of("pose"), ids=lambda spec: spec.name)
def test_crops_of_persons_divide_evenly(spec: ModelSpec) -> None:
    """Into patches, or into the cells of a ResNet's last map, 32 pixels wide."""
    architecture = spec.build(settings_of(image_size=spec.size_multiple), 17)
    vit = getattr(architecture, "backbone_config", None)
    unit = 32 if vit is None else vit.patch_size[0]
    assert [side // unit for side in crop_size(spec.size_multiple)] == [4, 3]


@pytest.mark.parametrize(
    ("name", "task"),
    {spec.name: task for task in ("semantic", "depth") for spec in models_of(task) if "swin" not in spec.name}.items(),
)
def test_a_batch_of_one_is_refused_where_a_dense_model_cannot_learn_from_it(name: str, task: str) -> None:
    spec = find_model(task, name)
    for size in (32, 64):
        network = shallow_network(name, task).train()
        images, targets = torch.randn(1, 3, size, size), torch.zeros((1, size, size), dtype=torch.int64)
        settings = settings_of(model=name, image_size=size, batch_size=1)
        if size <= spec.single_above:
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                network.loss(images, targets, torch.nn.functional.cross_entropy)
            with pytest.raises(DatasetDMError, match=r"batch_size is 1, but the batch norm.*set it to 2"):
                spec.check(settings)
        else:
            network.loss(images, targets, torch.nn.functional.cross_entropy)
            spec.check(settings)


@pytest.mark.parametrize("name", ["mask-rcnn_r18", "solov2_r18", "condinst_r18"])
def test_a_batch_of_one_is_refused_where_a_detector_cannot_learn_from_it(name: str) -> None:
    """At the largest image size that is too small and at the next one, of an image seen at half size."""
    spec = find_model("instance", name)
    limit = int(spec.single_above)
    for size in (limit, limit + 1):
        settings = settings_of(model=name, image_size=size, batch_size=1)
        model = build_detector(spec.build(settings, 2)).train()
        side = (size + 1) // 2
        sample = DetDataSample(metainfo={"img_shape": (side, side)})
        sample.gt_instances = InstanceData(masks=BitmapMasks(np.zeros((0, side, side), np.uint8), side, side))
        data = {"inputs": [torch.zeros((3, side, side), dtype=torch.uint8)], "data_samples": [sample]}
        images = model.data_preprocessor(data, training=True)["inputs"]
        if size == limit:
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                model.backbone(images)
            with pytest.raises(DatasetDMError, match=f"image_size above {limit}"):
                spec.check(settings)
        else:
            model.backbone(images)
            spec.check(settings)


def test_settings_that_do_not_fit_are_refused() -> None:
    odd = settings_of(model="vitpose_small", image_size=96)
    with pytest.raises(DatasetDMError, match=r"multiple of 64.*set it to 128 or 64"):
        DOWNSTREAM["pose"].check_model(odd)
    DOWNSTREAM["pose"].check_model(settings_of(model="vitpose_small", image_size=128, batch_size=1))


def test_what_would_fail_at_the_end_fails_at_the_start() -> None:
    DOWNSTREAM["instance"].check_model(SETTINGS)
    with pytest.raises(DatasetDMError, match=r"'solov2_r18' is not a model for the task pose.*vitpose_tiny"):
        DOWNSTREAM["pose"].check_model(SETTINGS)
    with pytest.raises(DatasetDMError, match=r"'unet' is not a model for the task depth.*glpn_small"):
        find_model("depth", "unet")
    with pytest.raises(DatasetDMError, match=r"'glpn_small' is not a model for the task semantic.*upernet_r18"):
        find_model("semantic", "glpn_small")
    with pytest.raises(DatasetDMError, match=r"'yolo' is not a model for the task instance.*mask-rcnn_r18"):
        find_model("instance", "yolo")

"""What a model finds in an image does not depend on the other images that it is given with it."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasetdm import config
from datasetdm.annotations.predictor import Predictor
from datasetdm.annotations.sample import Category
from datasetdm.decoder.checkpoint import build_decoder
from datasetdm.decoder.inference import DecoderModel
from datasetdm.diffusion import load_backbone
from datasetdm.downstream.dense import DenseModel
from datasetdm.downstream.dense.readouts import DepthReadout, SemanticReadout
from datasetdm.downstream.detection import Detector
from datasetdm.downstream.pose import PoseModel
from datasetdm.downstream.registry import find_model, models_of
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.tasks.depth import DepthTask
from datasetdm.tasks.instance import InstanceTask
from datasetdm.tasks.pose import PoseTask
from datasetdm.tasks.semantic import SemanticTask
from tests.downstream.dense.test_dense_networks import shallow

MINIWORLD = Path(__file__).parents[2] / "data" / "backbones" / "miniworld"
CPU = torch.device("cpu")
CATEGORIES = (Category(id=3, name="disc"), Category(id=17, name="bar"))
SIZES = ((64, 64), (50, 90), (1, 70), (900, 3))
DENSE = [(spec.name, task) for task in ("semantic", "depth") for spec in models_of(task)]
LARGE = pytest.mark.extended  # of the same architecture as a smaller one
READOUTS = {"semantic": SemanticReadout(2), "depth": DepthReadout(0.1, 10.0, 5.0)}


def settings_of(model: str) -> config.Downstream:
    return config.Downstream(
        model=model, image_size=64, iterations=1, batch_size=2, learning_rate=1e-3, score_threshold=0.0
    )


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]


def assert_same(first: Any, second: Any) -> None:
    for field in fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name), err_msg=field.name)


def check(model: Predictor, images: Sequence[np.ndarray], prompt_boxes: Sequence[Any] | None = None) -> list[Any]:
    """The same alone and among others in another order, to the last bit."""
    alone = [model.predict([image], prompt_boxes and [prompt_boxes[index]])[0] for index, image in enumerate(images)]
    together = model.predict(images[::-1], prompt_boxes and prompt_boxes[::-1])[::-1]
    for expected, found in zip(alone, together, strict=True):
        assert_same(expected, found)
    return alone


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(spec.name, marks=LARGE if spec.name.endswith(("rcnn_r50", "swin-b")) else ())
        for spec in models_of("instance")
    ],
)
def test_detectors(name: str) -> None:
    torch.manual_seed(0)
    model = Detector.build(settings_of(name), InstanceTask(CATEGORIES)).to(CPU)
    for parameter_name, parameter in model.network.named_parameters():
        if parameter_name.endswith("conv_cls.bias"):  # such that fresh weights find something, too
            torch.nn.init.zeros_(parameter)
    found = check(model, pictures())
    assert [instances.masks.shape[1:] for instances in found] == list(SIZES)
    assert all(len(instances) for instances in found[:2])


@pytest.mark.parametrize(("name", "task"), DENSE)
def test_dense_models(name: str, task: str) -> None:
    torch.manual_seed(0)
    readout = READOUTS[task]
    architecture = shallow(find_model(task, name).build(settings_of(name), readout.channels))
    model = DenseModel(architecture, readout, name=name, categories=CATEGORIES, image_size=64).to(CPU)
    for found, size in zip(check(model, pictures()), SIZES, strict=True):
        assert (found.labels if task == "semantic" else found.depth).shape == size


@pytest.mark.parametrize(
    "name",
    [pytest.param(spec.name, marks=LARGE if "base" in spec.name else ()) for spec in models_of("pose")],
)
def test_pose_models(name: str) -> None:
    torch.manual_seed(0)
    model = PoseModel.build(settings_of(name), PoseTask(CATEGORIES[:1])).to(CPU)
    rng = np.random.default_rng(1)
    numbers = [1, 0, 70, 3]
    boxes = [rng.uniform(0, 90, (number, 4)).astype(np.float32) for number in numbers]
    for found, size, number in zip(check(model, pictures(), boxes), SIZES, numbers, strict=True):
        assert found.keypoints.shape == (number, 17, 3) and found.masks.shape == (number, *size)
    check(model, pictures())


@pytest.mark.parametrize("task", [InstanceTask(CATEGORIES), SemanticTask(CATEGORIES), DepthTask(CATEGORIES)])
def test_the_p_decoder(task: Task) -> None:
    torch.manual_seed(0)
    backbone = load_backbone(config.Backbone(path=str(MINIWORLD), image_size=128), "cpu")
    settings = config.Decoder(hidden_dim=32, num_heads=4, num_queries=6, num_layers=1, feedforward_dim=32, iterations=1)
    decoder = build_decoder(task, backbone.feature_info, settings, None).eval()
    model = DecoderModel(backbone, decoder, task, settings)
    found = check(model, pictures())
    assert model.categories == CATEGORIES and len(found) == len(SIZES)


def test_a_path_or_a_single_image_is_a_clear_error() -> None:
    model = PoseModel.build(settings_of("vitpose_tiny"), PoseTask(CATEGORIES[:1])).to(CPU)
    image = np.zeros((8, 8, 3), np.uint8)
    for wrong in ("photo.jpg", ["photo.jpg"], image, [image.astype(np.float32)], [image[:0]], [image[..., :1]]):
        with pytest.raises(DatasetDMError, match="takes a list of images") as caught:
            model.predict(wrong)  # type: ignore[arg-type]
        assert len(str(caught.value)) < 400

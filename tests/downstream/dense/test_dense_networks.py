"""The dense networks: what they compute, and what they start from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import (
    PreTrainedConfig,
    ResNetConfig,
    ResNetForImageClassification,
    SegformerConfig,
    SegformerForImageClassification,
    SwinConfig,
    SwinForImageClassification,
    UperNetConfig,
)

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.downstream.dense.model import DenseModel
from datasetdm.downstream.dense.networks import SegmentationNetwork, build_network
from datasetdm.downstream.dense.readouts import DepthReadout, SemanticReadout
from datasetdm.downstream.registry import find_model, models_of
from datasetdm.downstream.transformers_backbone import load_pretrained, transformers_name
from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.pretraining.resnet import ResNet18
from datasetdm.tasks.semantic import SemanticTask

READOUTS = {"semantic": SemanticReadout(5), "depth": DepthReadout(0.1, 10.0, 5.0)}
# Millions of parameters, from the papers' tables and the released checkpoints (heads of 19 to 150 classes aside).
MILLIONS = {
    "upernet_r18": 12,
    "upernet_swin-l": 234,
    "segformer_b0": 3.7,
    "mask2former_r50": 44,
    "mask2former_swin-b": 107,
    "glpn_small": 3.4,
    "glpn_nyu": 61,
}


#: Name -> the last task that it serves.
LAST_TASKS = {spec.name: task for task in READOUTS for spec in models_of(task)}


def make_settings(**changes: object) -> config.Downstream:
    values = {"model": "upernet_r18", "image_size": 64, "iterations": 2, "batch_size": 2, "learning_rate": 1e-3}
    return config.Downstream(**{**values, **changes})


def shallow(architecture: PreTrainedConfig) -> PreTrainedConfig:
    """The same architecture with as few layers as it allows, and slim heads."""
    for part in (architecture, getattr(architecture, "backbone_config", None)):
        if hasattr(part, "depths"):
            part.depths = [1] * len(part.depths)
    if isinstance(architecture, UperNetConfig):
        architecture.hidden_size = 32
    if hasattr(architecture, "decoder_layers"):
        architecture.encoder_layers, architecture.decoder_layers, architecture.train_num_points = 1, 2, 256
    return architecture


def network_of(name: str, task: str = "semantic") -> SegmentationNetwork:
    """A network with five channels, or one for depth, in the size that its name promises."""
    return build_network(find_model(task, name).build(make_settings(), READOUTS[task].channels))


def shallow_network(name: str, task: str = "semantic") -> SegmentationNetwork:
    """The same with as few layers as it allows."""
    return build_network(shallow(find_model(task, name).build(make_settings(), READOUTS[task].channels)))


def random_targets(task_name: str) -> torch.Tensor:
    """Two maps of 64 x 64, with unlabelled pixels in the first and nothing labelled in the second."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (2, 64, 64), generator=generator)
    known = torch.zeros(2, 64, 64, dtype=torch.bool)
    known[0, 9:] = True
    return torch.where(known, labels, IGNORE) if task_name == "semantic" else torch.where(known, labels + 0.5, 0.0)


@pytest.mark.parametrize(("name", "task"), LAST_TASKS.items())
def test_every_model_has_the_size_that_its_name_promises(name: str, task: str) -> None:
    with torch.device("meta"):
        network = network_of(name, task)
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(MILLIONS[name], rel=0.03)
    assert list(network.backbone.parameters())


@pytest.mark.parametrize(("name", "task"), LAST_TASKS.items())
def test_every_model_takes_a_step(name: str, task: str) -> None:
    torch.manual_seed(0)
    readout = READOUTS[task]
    network = shallow_network(name, task).train()
    images = torch.randn(2, 3, 64, 64)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    before = [value.detach().clone() for value in network.parameters()]
    loss = network.loss(images, random_targets(task), readout.loss)
    loss.backward()
    optimizer.step()
    assert loss.ndim == 0 and torch.isfinite(loss) and loss > 0
    assert all(torch.isfinite(value).all() for value in network.parameters())
    moved = [not torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True)]
    assert np.mean(moved) > 0.8  # a softmax does not feel the biases of attention's keys
    scores = network.eval()(images)
    assert scores.shape == (2, readout.channels, 64, 64)
    assert torch.isfinite(scores).all()


def test_mask2formers_scores_share_each_pixel_out_among_the_classes() -> None:
    torch.manual_seed(0)
    network = shallow_network("mask2former_r50").eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        outputs = network.model(images)
        expected = torch.einsum(
            "qc,qhw->chw",
            outputs.class_queries_logits[0].softmax(-1)[:, :-1],
            nn.functional.interpolate(outputs.masks_queries_logits, (64, 64), mode="bilinear")[0].sigmoid(),
        )
        annotation = SemanticReadout(5).annotation(network(images)[0])
    np.testing.assert_array_equal(annotation.labels, expected.argmax(dim=0))
    np.testing.assert_allclose(annotation.confidence, (expected / expected.sum(0)).amax(dim=0), rtol=1e-4)


# --- pretrained backbones


def random_resnet18() -> ResNet18:
    """A network whose every tensor matters."""
    torch.manual_seed(0)
    resnet = ResNet18(3).eval()
    for name, value in resnet.state_dict().items():
        if value.is_floating_point() and value.ndim == 1:
            value.copy_(torch.rand_like(value) + (0.5 if name.endswith(("var", "weight")) else 0))
    return resnet


def test_a_torchvision_resnet_computes_the_same_features_under_its_other_names(tmp_path: Path) -> None:
    resnet = random_resnet18()
    save_file(resnet.state_dict(), tmp_path / "model.safetensors")
    task = SemanticTask([Category(id=number, name=str(number)) for number in range(5)])
    network = DenseModel.build(make_settings(pretrained=str(tmp_path)), task).network.eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        x = resnet.maxpool(resnet.bn1(resnet.conv1(images)).relu())
        found = network.model.backbone(images).feature_maps
        for layer, features in zip((resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4), found, strict=True):
            x = layer(x)
            torch.testing.assert_close(features, x, rtol=1e-4, atol=1e-4)


def test_every_tensor_of_a_torchvision_resnet50_has_its_place() -> None:
    norms = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["conv1.weight", *(f"bn1.{norm}" for norm in norms)]
    for stage, depth in enumerate((3, 4, 6, 3), start=1):
        for layer in range(depth):
            for number in (1, 2, 3):
                names.append(f"layer{stage}.{layer}.conv{number}.weight")
                names += [f"layer{stage}.{layer}.bn{number}.{norm}" for norm in norms]
        names.append(f"layer{stage}.0.downsample.0.weight")
        names += [f"layer{stage}.0.downsample.1.{norm}" for norm in norms]
    with torch.device("meta"):
        network = network_of("mask2former_r50")
    assert {transformers_name(name) for name in names} == set(network.backbone.state_dict())


@pytest.mark.parametrize(
    ("classifier", "architecture", "name"),
    [
        (ResNetForImageClassification, ResNetConfig(depths=[1, 1, 1, 1]), "mask2former_r50"),
        (
            SwinForImageClassification,
            SwinConfig(embed_dim=128, num_heads=[4, 8, 16, 32], window_size=12),
            "mask2former_swin-b",
        ),
        (SegformerForImageClassification, SegformerConfig(depths=[1, 1, 1, 1]), "segformer_b0"),
        (SegformerForImageClassification, SegformerConfig(depths=[1, 1, 1, 1]), "glpn_small"),
    ],
)
def test_a_hub_folder_fits_as_it_is(
    classifier: type, architecture: PreTrainedConfig, name: str, tmp_path: Path
) -> None:
    architecture.depths = [1, 1, 1, 1]
    pretrained = classifier(architecture)
    pretrained.save_pretrained(tmp_path)
    backbone = shallow_network(name, LAST_TASKS[name]).backbone
    load_pretrained(backbone, tmp_path / "model.safetensors")
    loaded = {tuple(value.flatten()[:8].tolist()) for value in backbone.state_dict().values() if value.ndim > 1}
    weights = [value for name, value in pretrained.state_dict().items() if value.ndim > 1 and "classifier" not in name]
    assert {tuple(value.flatten()[:8].tolist()) for value in weights} <= loaded


def test_weights_that_are_damaged_or_of_another_network_are_refused(tmp_path: Path) -> None:
    backbone = network_of("upernet_r18").backbone
    file = tmp_path / "model.safetensors"
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, file)
    with pytest.raises(DatasetDMError, match="does not fit the backbone of this model"):
        load_pretrained(backbone, file)
    state = random_resnet18().state_dict()
    save_file({**state, "conv1.weight": torch.zeros(64, 3, 3, 3)}, file)
    with pytest.raises(DatasetDMError, match=r"1 tensors are missing or have another shape, such as .*convolution"):
        load_pretrained(backbone, file)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DatasetDMError, match="cannot be read"):
        load_pretrained(backbone, file)

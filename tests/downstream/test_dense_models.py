"""The dense networks: what they compute, what they start from, and how their scores are read."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
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
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.downstream.dense_models import (
    MODELS,
    DepthReadout,
    SemanticReadout,
    build_network,
    load_backbone,
    transformers_name,
)
from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.pretraining.resnet import ResNet18

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


def random_targets(task_name: str) -> torch.Tensor:
    """Two maps of 64 x 64, with unlabelled pixels in the first and nothing labelled in the second."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (2, 64, 64), generator=generator)
    known = torch.zeros(2, 64, 64, dtype=torch.bool)
    known[0, 9:] = True
    return torch.where(known, labels, IGNORE) if task_name == "semantic" else torch.where(known, labels + 0.5, 0.0)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_the_size_that_its_name_promises(name: str) -> None:
    with torch.device("meta"):
        network = MODELS[name].network(MODELS[name].architecture(5))
    assert sum(value.numel() for value in network.parameters()) / 1e6 == pytest.approx(MILLIONS[name], rel=0.03)
    assert list(network.model.get_submodule(MODELS[name].backbone).parameters())


@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_a_step(name: str) -> None:
    torch.manual_seed(0)
    spec, task_name = MODELS[name], MODELS[name].tasks[-1]
    readout = READOUTS[task_name]
    network = spec.network(shallow(spec.architecture(readout.channels))).train()
    images = torch.randn(2, 3, 64, 64)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    before = [value.detach().clone() for value in network.parameters()]
    loss = network.loss(images, random_targets(task_name), readout.loss)
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
    spec = MODELS["mask2former_r50"]
    network = spec.network(shallow(spec.architecture(5))).eval()
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
    network = build_network(make_settings(pretrained=str(tmp_path)), "semantic", 5).eval()
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
        network = MODELS["mask2former_r50"].network(MODELS["mask2former_r50"].architecture(5))
    backbone = network.model.get_submodule(MODELS["mask2former_r50"].backbone)
    assert {transformers_name(name) for name in names} == set(backbone.state_dict())


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
    spec = MODELS[name]
    network = spec.network(shallow(spec.architecture(5)))
    backbone = network.model.get_submodule(spec.backbone)
    load_backbone(backbone, tmp_path / "model.safetensors")
    loaded = {tuple(value.flatten()[:8].tolist()) for value in backbone.state_dict().values() if value.ndim > 1}
    weights = [value for name, value in pretrained.state_dict().items() if value.ndim > 1 and "classifier" not in name]
    assert {tuple(value.flatten()[:8].tolist()) for value in weights} <= loaded


def test_weights_that_are_damaged_or_of_another_network_are_refused(tmp_path: Path) -> None:
    backbone = MODELS["upernet_r18"].network(MODELS["upernet_r18"].architecture(2)).model.backbone
    file = tmp_path / "model.safetensors"
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, file)
    with pytest.raises(DatasetDMError, match="does not fit the backbone of this model"):
        load_backbone(backbone, file)
    state = random_resnet18().state_dict()
    save_file({**state, "conv1.weight": torch.zeros(64, 3, 3, 3)}, file)
    with pytest.raises(DatasetDMError, match=r"1 tensors are missing or have another shape, such as .*convolution"):
        load_backbone(backbone, file)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DatasetDMError, match="cannot be read"):
        load_backbone(backbone, file)


def test_a_model_that_is_unknown_or_of_another_task_is_refused() -> None:
    with pytest.raises(DatasetDMError, match=r"'unet' is no model for the task depth.*glpn_small"):
        build_network(make_settings(model="unet"), "depth", 1)
    with pytest.raises(DatasetDMError, match=r"'glpn_small' is no model for the task semantic.*upernet_r18"):
        build_network(make_settings(model="glpn_small"), "semantic", 4)


# --- readouts


def test_cross_entropy_looks_at_the_hardest_of_the_labelled_pixels() -> None:
    readout, scores = SemanticReadout(3), torch.randn(2, 3, 8, 8, requires_grad=True)
    targets = torch.randint(0, 3, (2, 8, 8))
    targets[:, :5] = IGNORE
    losses = nn.functional.cross_entropy(scores[:, :, 5:], targets[:, 5:], reduction="none")
    hardest = losses.flatten().sort(descending=True).values[:10]  # a fifth of 48, rounded up
    torch.testing.assert_close(readout.loss(scores, targets), hardest.mean())
    nothing = readout.loss(scores, torch.full_like(targets, IGNORE))
    nothing.backward()
    assert nothing == 0 and torch.equal(scores.grad, torch.zeros_like(scores))


def test_a_perfect_depth_has_no_loss_and_reads_back() -> None:
    readout = DepthReadout(min_depth=0.1, max_depth=10.0, typical_depth=5.0)
    rng = np.random.default_rng(0)
    truth = DepthMap(depth=rng.uniform(0.2, 9.5, (8, 9)).astype(np.float32), valid_mask=np.ones((8, 9), dtype=bool))
    target = readout.target(truth, zoom=1.0)
    scores = (target / 10).logit()[None]
    assert readout.loss(scores[None], target[None]) < 1e-9
    np.testing.assert_allclose(readout.annotation(scores).depth, truth.depth, rtol=1e-4)
    # A wrong scale costs half of its square: the other half is forgiven.
    twice = (target / 10 / 2).logit()[None, None]
    assert readout.loss(twice, target[None]).item() == pytest.approx(0.5 * np.log(2) ** 2, rel=1e-4)


def test_depth_out_of_range_or_unknown_is_not_learnt_and_zooming_in_brings_nearer() -> None:
    depth = np.array([[0.05, 0.3, 9.0, 15.0, 4.0]], dtype=np.float32)
    truth = DepthMap(depth=depth, valid_mask=np.array([[True, True, True, True, False]]))
    readout = DepthReadout(min_depth=0.1, max_depth=10.0, typical_depth=5.0)
    np.testing.assert_allclose(readout.target(truth, 1.0), [[0, 0.3, 9.0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(readout.target(truth, 2.0), [[0, 0.15, 4.5, 7.5, 0]], rtol=1e-6)
    assert readout.target(truth, 2.0).dtype == torch.float32
    scores = torch.tensor([[[-50.0, 0.0, 50.0]]])
    np.testing.assert_allclose(readout.annotation(scores).depth, [[0.1, 5.0, 10.0]], rtol=1e-6)


def test_a_semantic_map_is_the_likeliest_category_and_its_probability() -> None:
    scores = torch.tensor([[[0.0, 1.0]], [[2.0, 1.0]], [[0.0, 3.0]]])
    found = SemanticReadout(3).annotation(scores)
    assert found.labels.dtype == np.uint8 and found.labels.tolist() == [[1, 2]]
    np.testing.assert_allclose(found.confidence, scores.softmax(0).amax(0), rtol=1e-6)
    target = SemanticReadout(3).target(SemanticMap.of(np.array([[0, 2, IGNORE]])), zoom=1.3)
    assert target.dtype == torch.int64 and target.tolist() == [[0, 2, IGNORE]]


@pytest.mark.parametrize("size", [(33, 47), (8, 120), (5, 4)])
def test_an_enlarged_map_is_that_of_the_enlarged_scores(size: tuple[int, int]) -> None:
    scores = 4 * torch.randn(7, 12, 16, generator=torch.Generator().manual_seed(0))
    large = F.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]
    found = SemanticReadout(7).annotation(scores, size)
    confidence, labels = large.softmax(dim=0).max(dim=0)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.confidence, confidence, rtol=1e-5)


def test_a_large_photograph_takes_a_few_bytes_per_pixel_however_many_categories() -> None:
    program = (
        "import resource, torch; from datasetdm.downstream.dense_models import SemanticReadout\n"
        "scores = torch.randn(150, 48, 64)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "SemanticReadout(150).annotation(scores, (96, 128)); before = peak()\n"
        "SemanticReadout(150).annotation(scores, (1500, 2000)); print((peak() - before) / 3e6)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40  # 600 for a float per category, and again for their softmax

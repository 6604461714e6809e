"""The pose networks, on crops of single persons: ViTPose (Xu et al., arXiv 2204.12484), and Simple Baselines (Xiao et
al., arXiv 1804.06208), which is a ResNet with deconvolutions.

Each function takes the settings and the number of keypoints, and returns transformers' configuration.
"""

from __future__ import annotations  # so that naming a type does not import it

from typing import Any

import transformers  # imports a class when it is first named

from datasetdm import config
from datasetdm.downstream.model_spec import ModelSpec, by_name

CELLS_PER_PATCH = 4  # along a side; both heads of ViTPose enlarge fourfold
DECONVOLUTIONS = 3  # of a Simple Baseline, each of which doubles the size: from stride 32 to stride 4


def vitpose_tiny(settings: config.Downstream, num_keypoints: int) -> transformers.VitPoseConfig:
    """Six narrow layers on patches of 8 pixels; the head is one convolution on enlarged features."""
    return _vitpose(settings, num_keypoints, patch=8, width=128, layers=6, heads=4, simple_head=True)


def vitpose_small(settings: config.Downstream, num_keypoints: int) -> transformers.VitPoseConfig:
    """ViTPose-S with the authors' head of two deconvolutions."""
    return _vitpose(settings, num_keypoints, patch=16, width=384, layers=12, heads=12, simple_head=False)


def vitpose_base(settings: config.Downstream, num_keypoints: int) -> transformers.VitPoseConfig:
    """ViTPose-B with the authors' head of two deconvolutions."""
    return _vitpose(settings, num_keypoints, patch=16, width=768, layers=12, heads=12, simple_head=False)


def _vitpose(
    settings: config.Downstream,
    num_keypoints: int,
    *,
    patch: int,
    width: int,
    layers: int,
    heads: int,
    simple_head: bool,
) -> transformers.VitPoseConfig:
    backbone = transformers.VitPoseBackboneConfig(
        image_size=list(crop_size(settings.image_size)),
        patch_size=[patch, patch],
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        out_indices=[layers],
    )
    return transformers.VitPoseConfig(
        backbone_config=backbone,
        scale_factor=CELLS_PER_PATCH,
        use_simple_decoder=simple_head,
        num_labels=num_keypoints,
    )


def simple_baseline_r18(settings: config.Downstream, num_keypoints: int) -> transformers.ResNetConfig:
    """A Simple Baseline with ResNet-18 and half the authors' width of deconvolutions."""
    return _simple_baseline(
        num_keypoints, width=128, layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2] * 4
    )


def simple_baseline_r50(settings: config.Downstream, num_keypoints: int) -> transformers.ResNetConfig:
    """A Simple Baseline with ResNet-50, as the authors have it."""
    return _simple_baseline(num_keypoints, width=256)


def _simple_baseline(num_keypoints: int, *, width: int, **resnet: Any) -> transformers.ResNetConfig:
    return transformers.ResNetConfig(
        **resnet, out_features=["stage4"], num_labels=num_keypoints, deconvolution_channels=width
    )


def crop_size(image_size: int) -> tuple[int, int]:
    """(height, width) of a person's crop, upright at 4 : 3 as usual."""
    return image_size, image_size * 3 // 4


# Height and width of a crop are whole patches of 8 or 16 pixels, or whole cells of a ResNet's coarsest map (32 pixels).
MODELS = by_name(
    ModelSpec("vitpose_tiny", ("pose",), vitpose_tiny, size_multiple=32),
    ModelSpec("vitpose_small", ("pose",), vitpose_small, size_multiple=64, autocast=True),
    ModelSpec("vitpose_base", ("pose",), vitpose_base, size_multiple=64, autocast=True),
    ModelSpec("simple_baseline_r18", ("pose",), simple_baseline_r18, size_multiple=128, autocast=True),
    ModelSpec("simple_baseline_r50", ("pose",), simple_baseline_r50, size_multiple=128, autocast=True),
)

"""The dense networks: configurations of transformers, fitted to the number of channels.

Each function takes the settings and the number of channels, and returns the configuration for `build_network`.
"""

from __future__ import annotations  # so that naming a type does not import it

import math

import transformers  # imports a class when it is first named

from datasetdm import config
from datasetdm.downstream.model_spec import ModelSpec, by_name
from datasetdm.task_parts import TASKS

PER_PIXEL = tuple(name for name, parts in TASKS.items() if parts.readout)  # the tasks of networks with free channels
STAGES = ["stage1", "stage2", "stage3", "stage4"]


def upernet_r18(settings: config.Downstream, channels: int) -> transformers.UperNetConfig:
    """UperNet (Xiao et al., arXiv 1807.10221) with ResNet-18 and a slim head."""
    backbone = transformers.ResNetConfig(
        layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], out_features=STAGES
    )
    return transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=64, use_auxiliary_head=False, num_labels=channels
    )


def upernet_swin_l(settings: config.Downstream, channels: int) -> transformers.UperNetConfig:
    """UperNet with Swin-L."""
    backbone = _swin(192, [6, 12, 24, 48])
    return transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=512, use_auxiliary_head=False, num_labels=channels
    )


def segformer_b0(settings: config.Downstream, channels: int) -> transformers.SegformerConfig:
    """SegFormer (Xie et al., arXiv 2105.15203) in its smallest size."""
    return transformers.SegformerConfig(num_labels=channels)


def mask2former_r50(settings: config.Downstream, channels: int) -> transformers.Mask2FormerConfig:
    """Mask2Former (Cheng et al., arXiv 2112.01527) with ResNet-50."""
    return transformers.Mask2FormerConfig(
        backbone_config=transformers.ResNetConfig(out_features=STAGES), num_labels=channels
    )


def mask2former_swin_b(settings: config.Downstream, channels: int) -> transformers.Mask2FormerConfig:
    """Mask2Former with Swin-B."""
    return transformers.Mask2FormerConfig(backbone_config=_swin(128, [4, 8, 16, 32]), num_labels=channels)


def glpn_small(settings: config.Downstream, channels: int) -> transformers.GLPNConfig:
    """GLPN (Kim et al., arXiv 2201.07436) with the smallest backbone and a slim decoder; one channel always."""
    return transformers.GLPNConfig(max_depth=1, decoder_hidden_size=32)


def glpn_nyu(settings: config.Downstream, channels: int) -> transformers.GLPNConfig:
    """GLPN in the size of its paper; one channel always."""
    return transformers.GLPNConfig(max_depth=1, hidden_sizes=[64, 128, 320, 512], depths=[3, 8, 27, 3])


def _swin(width: int, heads: list[int]) -> transformers.SwinConfig:
    """The Swin Transformer of ImageNet at 384 pixels (Liu et al., arXiv 2103.14030): B has width 128, L has 192."""
    return transformers.SwinConfig(
        image_size=384,
        window_size=12,
        embed_dim=width,
        depths=[2, 2, 18, 2],
        num_heads=heads,
        drop_path_rate=0.3,
        out_features=STAGES,
    )


# `upernet_r18` learns within a minute on a CPU; the others have the sizes of their papers. DatasetDM trains Mask2Former
# for semantic segmentation, and takes Swin-L as the backbone for depth.
MODELS = by_name(
    ModelSpec("upernet_r18", PER_PIXEL, upernet_r18, single_above=math.inf, autocast=True),
    ModelSpec("upernet_swin-l", PER_PIXEL, upernet_swin_l, single_above=math.inf, autocast=True),
    ModelSpec("segformer_b0", PER_PIXEL, segformer_b0, autocast=True),
    ModelSpec("mask2former_r50", ("semantic",), mask2former_r50, single_above=32, autocast=True),
    ModelSpec("mask2former_swin-b", ("semantic",), mask2former_swin_b, autocast=True),
    ModelSpec("glpn_small", ("depth",), glpn_small),
    ModelSpec("glpn_nyu", ("depth",), glpn_nyu),
)

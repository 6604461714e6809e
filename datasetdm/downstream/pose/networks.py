"""The networks that predict heatmaps of the keypoints in a person's crop: built, and started from pretrained weights.

They are built from transformers' configurations and never downloaded from a hub.
"""

from pathlib import Path

import torch
from torch import nn
from transformers import (
    PreTrainedConfig,
    ResNetBackbone,
    ResNetConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from datasetdm.downstream.architectures.pose import CELLS_PER_PATCH, DECONVOLUTIONS
from datasetdm.downstream.pose import vitpose_weights
from datasetdm.downstream.transformers_backbone import load_pretrained

RESNET_STRIDE = 32  # of its last feature map


class ViTPose(VitPoseForPoseEstimation):
    """ViTPose (Xu et al., arXiv 2204.12484), set up for short trainings from scratch.

    Its head starts at zero, so there are no random heatmaps to unlearn. The embeddings of places start large, so that
    the network can tell its patches apart. With 0.02, as usual, they drown in what the patches show (measured: a sixth
    less loss after 100 iterations).
    """

    def __init__(self, architecture: VitPoseConfig):
        super().__init__(architecture)
        nn.init.zeros_(self.head.conv.weight)
        nn.init.normal_(self.backbone.embeddings.position_embeddings, std=0.5)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Heatmaps B x 17 x h x w of normalised crops B x 3 x H x W."""
        heatmaps: torch.Tensor = super().forward(images).heatmaps
        return heatmaps

    @property
    def stride(self) -> int:
        """Pixels of a crop per cell of its heatmaps, along a side."""
        return int(self.config.backbone_config.patch_size[0]) // CELLS_PER_PATCH

    def load_pretrained(self, file: Path) -> None:
        """Fill the transformer from a file in the ViTPose format. Errors as in `vitpose_weights.load_pretrained`."""
        vitpose_weights.load_pretrained(self.backbone, file)


class SimpleBaseline(nn.Module):
    """Simple Baselines (Xiao et al., arXiv 1804.06208): a ResNet, deconvolutions that double the size, and one layer.

    Args:
        architecture: the ResNet; `num_labels` counts the keypoints, `deconvolution_channels` is the width of the head.
    """

    def __init__(self, architecture: ResNetConfig):
        super().__init__()
        self.config = architecture
        self.backbone = ResNetBackbone(architecture)
        widths = [architecture.hidden_sizes[-1], *[architecture.deconvolution_channels] * DECONVOLUTIONS]
        self.deconvolutions = nn.Sequential(*map(_doubled, widths[:-1], widths[1:]))
        self.head = nn.Conv2d(widths[-1], architecture.num_labels, 1)
        nn.init.zeros_(self.head.weight)  # no random heatmaps to unlearn

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Heatmaps B x 17 x H/4 x W/4 of normalised crops B x 3 x H x W, sides divisible by 32."""
        heatmaps: torch.Tensor = self.head(self.deconvolutions(self.backbone(images).feature_maps[-1]))
        return heatmaps

    @property
    def stride(self) -> int:
        """Pixels of a crop per cell of its heatmaps, along a side."""
        return RESNET_STRIDE // 2**DECONVOLUTIONS

    def load_pretrained(self, file: Path) -> None:
        """Fill the ResNet from a file. Errors as in `transformers_backbone.load_pretrained`."""
        load_pretrained(self.backbone, file)


def _doubled(channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels, out_channels, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


PoseNetwork = ViTPose | SimpleBaseline

#: transformers' type of model -> the class for it.
NETWORKS: dict[str, type[PoseNetwork]] = {"vitpose": ViTPose, "resnet": SimpleBaseline}


def build_network(architecture: PreTrainedConfig) -> PoseNetwork:
    """A network of an architecture, with random weights; KeyError where the architecture is of another type."""
    return NETWORKS[architecture.model_type](architecture)

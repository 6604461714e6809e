"""Representation alignment of the U-Net with a frozen ResNet while it is pretrained (REPA, arXiv 2410.06940)."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from torch import nn

from datasetdm.miniworld.pretraining.pool import ImagePool
from datasetdm.miniworld.pretraining.resnet import load_resnet
from datasetdm.utils.normalisation import normalise

TARGET_CHANNELS = 256  # of the ResNet's third stage, a 16th of the image's side


@torch.no_grad()
def read_targets(pool: ImagePool, folder: Path, device: str) -> torch.Tensor:
    """The ResNet's features of all images of the pool: float16 on the device, N x 256 x S/16 x S/16."""
    resnet = load_resnet(folder).to(device)
    return torch.cat([resnet.stages(normalise(images, device), 3)[-1].half() for images in pool.batches()])


class Aligner(nn.Module):
    """Predicts the ResNet's features from what leaves the U-Net's lowest upward block; it is not exported."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        width = unet.config.block_out_channels[-1]
        self.predict = nn.Sequential(
            nn.Conv2d(width, TARGET_CHANNELS, 1), nn.SiLU(), nn.Conv2d(TARGET_CHANNELS, TARGET_CHANNELS, 1)
        )
        self._features: torch.Tensor
        unet.up_blocks[0].register_forward_hook(self._keep)

    def _keep(self, _module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        self._features = output

    def forward(self) -> torch.Tensor:
        """What the ResNet should see, B x 256 x h x w, predicted from the U-Net's last pass."""
        predicted: torch.Tensor = self.predict(self._features)
        return predicted


def alignment_loss(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """1 - cosine similarity of an `Aligner`'s B x 256 x h x w with `read_targets`, mean over the places."""
    predicted = predicted.float()
    targets = F.interpolate(targets.float(), predicted.shape[-2:], mode="bilinear", align_corners=False)
    return (1 - F.cosine_similarity(predicted, targets, dim=1)).mean()

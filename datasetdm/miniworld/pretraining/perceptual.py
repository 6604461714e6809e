"""The autoencoder's perceptual loss: how much two pictures differ in the features of a frozen ResNet."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from datasetdm.miniworld.pretraining.resnet import load_resnet
from datasetdm.utils.normalisation import MEAN, STD

STAGES = 2  # the early ones hold outlines and textures; the later ones know too little of where


class PerceptualLoss(nn.Module):
    """L1 distance of feature maps (Johnson et al., arXiv 1603.08155), relative to their mean size.

    `pretrain_resnet` trained the ResNet on the same images and captions. A loss on pixels alone lets the outlines of
    small objects blur: a detector notices, a mean over pixels hardly does.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, resnet: Path) -> None:
        super().__init__()
        self.resnet = load_resnet(resnet)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(STD)[:, None, None])

    def forward(self, images: torch.Tensor, originals: torch.Tensor) -> torch.Tensor:
        """Mean over the stages, of images B x 3 x S x S in [-1, 1]; the gradient flows into `images` alone."""
        with torch.no_grad():
            wanted = self._maps(originals)
        distances = [F.l1_loss(a, b) / b.abs().mean() for a, b in zip(self._maps(images), wanted, strict=True)]
        return torch.stack(distances).mean()

    def _maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        return self.resnet.stages((images.add(1).mul(127.5) - self.mean) / self.deviation, STAGES)

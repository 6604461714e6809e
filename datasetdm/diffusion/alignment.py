"""Representation alignment of the U-Net with a frozen ResNet while it is pretrained (REPA, arXiv 2410.06940)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import nn

from datasetdm.diffusion.pool import ImagePool
from datasetdm.diffusion.resnet import ResNet18, normalise
from datasetdm.errors import DatasetDMError

TARGET_CHANNELS = 256  # of the ResNet's third stage, a 16th of the image's side


class TargetCache:
    """The ResNet's features of the pool's images, each computed when it is first asked for, in half precision."""

    def __init__(self, pool: ImagePool, folder: Path, device: str) -> None:
        side = pool[0].shape[0] // 16
        self._pool, self._device = pool, device
        self._resnet = load_resnet(folder).to(device)
        self._targets = torch.empty(len(pool), TARGET_CHANNELS, side, side, dtype=torch.float16)
        self._known = torch.zeros(len(pool), dtype=torch.bool)

    @torch.no_grad()
    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        """Targets of the images `index` (int64, B), float32 B x 256 x S/16 x S/16."""
        missing = index[~self._known[index]].unique()
        if len(missing):
            images = normalise(np.stack([self._pool[k] for k in missing.tolist()])).to(self._device)
            self._targets[missing] = self._resnet.stages(images)[2].to("cpu", torch.float16)
            self._known[missing] = True
        return self._targets[index].to(self._device, torch.float32)


class Aligner(nn.Module):
    """Predicts the ResNet's features from what leaves the U-Net's lowest upward block; not part of what is exported."""

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

    def forward(self, targets: torch.Tensor) -> torch.Tensor:
        """1 - cosine similarity with B x 256 x h x w targets, mean over the places of the U-Net's last pass."""
        predicted = self.predict(self._features).float()
        targets = F.interpolate(targets, predicted.shape[-2:], mode="bilinear", align_corners=False)
        return (1 - F.cosine_similarity(predicted, targets, dim=1)).mean()


def load_resnet(folder: Path) -> ResNet18:
    """The frozen ResNet of a folder that `pretrain_resnet` exported; its classifier is not used.

    Raises:
        DatasetDMError: there is none.
    """
    path = folder / "model.safetensors"
    if not path.exists():
        raise DatasetDMError(
            f"{path} is missing: run `python -m datasetdm.diffusion.pretrain_resnet` with the same --config first, or "
            "take `alignment:` out of it."
        )
    model = ResNet18(1)
    weights = {name: value.float() if value.is_floating_point() else value for name, value in load_file(path).items()}
    model.load_state_dict(weights, strict=False)
    return model.eval().requires_grad_(False)

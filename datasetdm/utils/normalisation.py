"""Normalisation with ImageNet's mean and standard deviation, which pretrained networks expect."""

import numpy as np
import torch

#: For values in 0..255; the default of mmdet's detectors.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def normalise(images: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """uint8 B x S x S x 3 RGB to float B x 3 x S x S, normalised with ImageNet's mean and standard deviation."""
    values = torch.from_numpy(images).to(device).float()
    mean, deviation = torch.tensor(MEAN, device=device), torch.tensor(STD, device=device)
    return ((values - mean) / deviation).permute(0, 3, 1, 2).contiguous()

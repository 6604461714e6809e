"""The colours of ImageNet, by which pretrained networks expect images to be normalised."""

import numpy as np
import torch

#: ImageNet's, in 0..255: what detectors normalise with by default.
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def normalise(images: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """uint8 B x S x S x 3 RGB to float B x 3 x S x S, ImageNet's mean and deviation taken off."""
    values = torch.from_numpy(images).to(device).float()
    mean, deviation = torch.tensor(MEAN, device=device), torch.tensor(STD, device=device)
    return ((values - mean) / deviation).permute(0, 3, 1, 2).contiguous()

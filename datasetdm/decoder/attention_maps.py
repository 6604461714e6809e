"""Attention to words as maps that can be compared with a threshold."""

import torch
from torch.nn import functional as F

from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.errors import DatasetDMError

NUM_RESOLUTIONS = 2  # of cross-attention, the finest ones; coarser maps say hardly more than that a word is there
SHARPNESS = 10.0  # logit per unit of attention, where 1 is the largest attention to the word in the image


def word_attention(features: DiffusionFeatures, labels: torch.Tensor, side: int) -> torch.Tensor:
    """Attention to each word, the mean over layers and resolutions, float32 B x W x side x side; uniform is 1.

    Args:
        features: of B images.
        labels: of the words, int64, W.
        side: of the maps, whatever the resolutions that were read.

    Raises:
        DatasetDMError: the backbone reads no attention.
    """
    if not features.attention:
        raise DatasetDMError(
            "This backbone has no attention to words, which decoder.method reads: set decoder.method to p_decoder in "
            "params.yaml, or name layers in backbone.attention_layers."
        )
    finest = sorted(features.attention)[:NUM_RESOLUTIONS]
    layers = [features.attention[stride].float().mean(dim=2)[:, labels] for stride in finest]
    return torch.stack([resized(layer, side) for layer in layers]).mean(dim=0)


def normalised(attention: torch.Tensor) -> torch.Tensor:
    """Each map (... x h x w) brought to [0, 1], with its largest value 1; zeros where there is no attention at all."""
    low, high = attention.amin(dim=(-2, -1), keepdim=True), attention.amax(dim=(-2, -1), keepdim=True)
    return (attention - low) / (high - low).clamp(min=1e-6)


def resized(maps: torch.Tensor, side: int) -> torch.Tensor:
    """B x W x h x w as B x W x side x side, interpolated or averaged."""
    if side < maps.shape[-1]:
        return F.adaptive_avg_pool2d(maps, side)
    return F.interpolate(maps, size=(side, side), mode="bilinear", align_corners=False)


def is_mentioned(attention: torch.Tensor) -> torch.Tensor:
    """1 for each word (B x W) that is attended to at all: the prompt holds it; else 0."""
    return attention.flatten(2).any(dim=-1).float()

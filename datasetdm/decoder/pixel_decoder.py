"""Diffusion features of several resolutions, fused from the lowest to the highest (paper section 3.2)."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel


class FeatureInput(nn.Module):
    """One level of the hypercolumn as one tensor: standardised maps and compact attention.

    The channels of a U-Net differ in scale by orders of magnitude. `calibrate` measures their scales once, and the maps
    are standardised by them. Attention keeps its scale (uniform is 1), so that a word that is hardly ever present is
    not amplified. Its layers are averaged, so that the input grows only with the number of words: 80 words in 16 layers
    are 80 channels and not 1280.

    In training whole channels are dropped with probability `dropout`. A few dozen labelled images hold too few objects
    for thousands of channels, and by accident some channels separate the training objects.
    """

    def __init__(self, level: FeatureLevel, num_words: int, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.stride = level.stride
        self.has_attention = level.attention_layers > 0 and num_words > 0
        self.channels = level.channels + (num_words if self.has_attention else 0)
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.zeros(level.channels))
        self.register_buffer("std", torch.ones(level.channels))

    @torch.no_grad()
    def calibrate(self, maps: torch.Tensor) -> None:
        """Take mean and spread of every channel from B x C x h x w example maps."""
        values = maps.to(torch.float32).transpose(0, 1).flatten(1)
        self.mean.copy_(values.mean(dim=1))
        self.std.copy_(values.std(dim=1).clamp(min=1e-4))

    def forward(self, features: DiffusionFeatures) -> torch.Tensor:
        """B x channels x h x w in the precision of the decoder."""
        maps = features.maps[self.stride].to(self.mean)
        maps = (maps - self.mean[:, None, None]) / self.std[:, None, None]
        if self.has_attention:
            attention = features.attention[self.stride].to(self.mean).mean(dim=2)
            maps = torch.cat([maps, attention.log1p()], dim=1)  # peaks of attention are high and narrow
        left: torch.Tensor = self.dropout(maps)
        return left


class Bottleneck(nn.Module):
    """A residual block (He et al., arXiv 1512.03385): the 3 x 3 convolution works on half the channels.

    Group instead of batch normalisation: predictions for an image must depend on that image alone, and the batches are
    small and mix noise levels and mirrored, cropped views.
    """

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.layers = nn.Sequential(
            nn.Conv2d(channels, half, 1, bias=False),
            group_norm(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, padding=1, bias=False),
            group_norm(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, channels, 1, bias=False),
            group_norm(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """B x C x h x w to the same shape."""
        return F.relu(x + self.layers(x))


class Fusion(nn.Module):
    """One step up: the coarser level, upsampled, joined with the input of this level.

    The convolution that joins them works on each part alone: on the coarser level before it is upsampled, which is the
    same and a quarter of the work, and on the input, which then needs no gradient.
    """

    def __init__(self, input_channels: int, channels: int, *, from_below: bool):
        super().__init__()
        self.channels_below = channels if from_below else 0
        self.join = nn.Conv2d(input_channels + self.channels_below, channels, 1, bias=False)
        self.norm = group_norm(channels)
        self.block = Bottleneck(channels)

    def forward(self, x: torch.Tensor, below: torch.Tensor | None) -> torch.Tensor:
        """B x channels x h x w at the size of `x`."""
        joined = F.conv2d(x, self.join.weight[:, self.channels_below :])
        if below is not None:
            below = F.conv2d(below, self.join.weight[:, : self.channels_below])
            joined = joined + F.interpolate(below, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return self.block(F.relu(self.norm(joined)))


class PixelDecoder(nn.Module):
    """Fuses the levels and makes the mask features, at twice the finest level's resolution.

    Args:
        feature_info: the levels that the backbone yields.
        num_words: words whose attention is read.
        channels: width of every fused level.
        mask_channels: width of the mask features.
        dropout: probability that a channel of the input is dropped in training.
    """

    def __init__(
        self,
        feature_info: Sequence[FeatureLevel],
        num_words: int,
        channels: int,
        mask_channels: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        coarse_to_fine = sorted(feature_info, key=lambda level: -level.stride)
        inputs = [FeatureInput(level, num_words, dropout) for level in coarse_to_fine]
        self.inputs = nn.ModuleList(inputs)
        self.fusions = nn.ModuleList(
            Fusion(source.channels, channels, from_below=index > 0) for index, source in enumerate(inputs)
        )
        self.upsample = nn.ConvTranspose2d(channels, mask_channels, 2, stride=2)

    def calibrate(self, features: DiffusionFeatures) -> None:
        """Measure the scale of the backbone's channels on a batch of examples."""
        for source in self.inputs:
            assert isinstance(source, FeatureInput)
            source.calibrate(features.maps[source.stride])

    def forward(self, features: DiffusionFeatures) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The fused levels, coarse to fine, and the mask features (B x mask_channels x 2h x 2w)."""
        levels: list[torch.Tensor] = []
        for source, fusion in zip(self.inputs, self.fusions, strict=True):
            levels.append(fusion(source(features), levels[-1] if levels else None))
        return levels, self.upsample(levels[-1])


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with at most 16 groups, each a multiple of four channels if the width allows it."""
    groups = next(count for count in (16, 8, 4, 2, 1) if channels % (4 * count) == 0 or count == 1)
    return nn.GroupNorm(groups, channels)

"""What a diffusion backbone yields: features, attention, drawn latents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class FeatureLevel:
    """What the backbone yields at one resolution (compare timm's `feature_info`).

    Attributes:
        stride: image pixels per feature pixel.
        channels: channels of the feature map.
        attention_layers: number of cross-attention layers captured at this resolution.
    """

    stride: int
    channels: int
    attention_layers: int


@dataclass(frozen=True)
class DiffusionFeatures:
    """Features of one U-Net pass, keyed by stride (paper section 3.2, the "hypercolumn").

    Attributes:
        maps: stride -> float, B x C x h x w.
        attention: stride -> float, B x W x L x h x w: cross-attention of each of the W asked words in
            each of the L layers, mean over heads and over the tokens of the word's occurrences in
            that image's prompt, scaled so that uniform attention is 1; zeros where the prompt does not
            hold the word. Strides without attention layers are absent.
        meant: bool, B x W on the CPU: the words that stand for something in the prompt by another name ("puppy" for
            dog), where somebody has said so; they have no attention.
    """

    maps: dict[int, torch.Tensor]
    attention: dict[int, torch.Tensor]
    meant: torch.Tensor | None = None

    def mentioned(self) -> torch.Tensor:
        """Which words each image's prompt names, bool, B x W on the CPU: those with any attention, and `meant`."""
        held = [values.flatten(2).any(dim=2) for values in self.attention.values()]
        found = torch.stack(held).any(dim=0).cpu()
        return found if self.meant is None else found | self.meant

    def apply(self, function: Any) -> "DiffusionFeatures":
        """The maps and attentions with `function` applied to each of them."""
        return DiffusionFeatures(
            maps={stride: function(value) for stride, value in self.maps.items()},
            attention={stride: function(value) for stride, value in self.attention.items()},
        )

    @staticmethod
    def cat(parts: Sequence["DiffusionFeatures"]) -> "DiffusionFeatures":
        """Batches joined along the first axis."""
        return DiffusionFeatures(
            maps={stride: torch.cat([part.maps[stride] for part in parts]) for stride in parts[0].maps},
            attention={stride: torch.cat([part.attention[stride] for part in parts]) for stride in parts[0].attention},
        )


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Images drawn by the backbone.

    Attributes:
        latents: float, B x C x h x w, the denoised latents in the U-Net's scaling.
        features: features of the sampler's last step where they were asked for (the paper's way), else None.
    """

    latents: torch.Tensor
    features: DiffusionFeatures | None = None

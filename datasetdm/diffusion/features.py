"""What a diffusion backbone yields: features, attention, mentioned words, drawn latents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch


@dataclass(frozen=True)
class FeatureLevel:
    """What the backbone yields at one resolution (compare timm's `feature_info`).

    Attributes:
        stride: image pixels per feature pixel.
        channels: channels of the feature map.
        attention_layers: number of attention layers captured at this resolution.
    """

    stride: int
    channels: int
    attention_layers: int


@dataclass(frozen=True)
class DiffusionFeatures:
    """Features of one pass of the denoising network, keyed by stride (paper section 3.2, the "hypercolumn").

    Attributes:
        maps: stride -> float, B x C x h x w.
        attention: stride -> float, B x W x L x h x w: attention to each of W words in each of L layers, mean
            over heads and over the tokens of the word's occurrences in that image's prompt, scaled so that uniform
            attention is 1; zeros if the prompt does not hold the word. Strides without attention layers are absent.
        mentioned: bool, B x W on the CPU: which words each image's prompt mentions. A word that the prompt mentions by
            another name ("puppy" for dog) may be added; it has no attention. None: the backbone reads no prompts.
        self_attention: stride -> float, B x (h w) x (h w): how each place attends to each other, mean over layers and
            heads, rows of sum 1. Empty unless it was asked for (`Backbone.extract`).
    """

    maps: dict[int, torch.Tensor]
    attention: dict[int, torch.Tensor]
    mentioned: torch.Tensor | None = None
    self_attention: dict[int, torch.Tensor] = field(default_factory=dict)

    def apply(self, function: Callable[[torch.Tensor], torch.Tensor]) -> "DiffusionFeatures":
        """The features with `function` applied to each map and each attention."""
        return DiffusionFeatures(
            maps={stride: function(value) for stride, value in self.maps.items()},
            attention={stride: function(value) for stride, value in self.attention.items()},
            mentioned=self.mentioned,
            self_attention={stride: function(value) for stride, value in self.self_attention.items()},
        )

    def select(self, index: torch.Tensor) -> "DiffusionFeatures":
        """The features of some images of the batch, by position."""
        chosen = self.apply(lambda values: values[index])
        return chosen if self.mentioned is None else replace(chosen, mentioned=self.mentioned[index])

    @staticmethod
    def cat(parts: Sequence["DiffusionFeatures"]) -> "DiffusionFeatures":
        """Batches joined along the first axis."""
        mentioned = [part.mentioned for part in parts if part.mentioned is not None]
        return DiffusionFeatures(
            maps={stride: torch.cat([part.maps[stride] for part in parts]) for stride in parts[0].maps},
            attention={stride: torch.cat([part.attention[stride] for part in parts]) for stride in parts[0].attention},
            mentioned=torch.cat(mentioned) if mentioned else None,
            self_attention={
                stride: torch.cat([part.self_attention[stride] for part in parts]) for stride in parts[0].self_attention
            },
        )


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Images drawn by the backbone.

    Attributes:
        latents: float, B x C x h x w, the denoised latents in the network's scaling.
        features: features of the sampler's last step (the paper's way) if `words` were given, else None.
    """

    latents: torch.Tensor
    features: DiffusionFeatures | None = None

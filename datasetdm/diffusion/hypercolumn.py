"""The features of one U-Net pass: outputs of the middle and of the upward path, level by level."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from datasetdm.diffusion.attention import WordAttention, capture_attention
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel


@dataclass
class Captured:
    """Raw captures of one pass: side of the feature map -> the layers' outputs, in the order of the pass."""

    attention: WordAttention
    maps: dict[int, list[torch.Tensor]] = field(default_factory=dict)

    def features(self, image_size: int) -> DiffusionFeatures:
        """Layers of one level joined along the channels, keyed by stride, in float32."""
        return DiffusionFeatures(
            maps={image_size // side: torch.cat(maps, 1).float() for side, maps in sorted(self.maps.items())},
            attention={image_size // side: torch.stack(maps, 2) for side, maps in sorted(self.attention.maps.items())},
        )


def feature_layers(unet: UNet2DConditionModel) -> list[nn.Module]:
    """The middle block's last layer and every layer of the upward path, after its attention where it has one.

    The upward path holds the downward one through its skip connections, so that is left out: half the channels of the
    released code's hypercolumn.
    """
    layers: list[nn.Module] = [unet.mid_block.resnets[-1]] if unet.mid_block is not None else []
    for block in unet.up_blocks:
        layers += list(getattr(block, "attentions", block.resnets))
    return layers


@contextmanager
def capture(unet: UNet2DConditionModel, token_weights: torch.Tensor) -> Iterator[Captured]:
    """Capture the pass that is run within the block; hooks and processors are taken off again at its end."""
    with ExitStack() as stack:
        captured = Captured(attention=stack.enter_context(capture_attention(unet, token_weights)))

        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = output if isinstance(output, torch.Tensor) else output[0]
            captured.maps.setdefault(tensor.shape[-1], []).append(tensor)

        for layer in feature_layers(unet):
            stack.callback(layer.register_forward_hook(keep).remove)
        yield captured


@torch.no_grad()
def measure_levels(unet: UNet2DConditionModel, latent_stride: int, num_tokens: int) -> tuple[FeatureLevel, ...]:
    """The levels that `capture` yields, lowest resolution first, from a dry pass on the smallest possible latents."""
    side = 2 ** (len(unet.config.block_out_channels) - 1)
    parameter = next(unet.parameters())
    latents = parameter.new_zeros(1, unet.config.in_channels, side, side)
    prompt_embeds = parameter.new_zeros(1, num_tokens, unet.config.cross_attention_dim)
    with capture(unet, torch.zeros(1, 1, num_tokens)) as captured:
        unet(latents, 0, prompt_embeds)
    features = captured.features(latent_stride * side)
    layers = {stride: maps.shape[2] for stride, maps in features.attention.items()}
    return tuple(
        FeatureLevel(stride=stride, channels=maps.shape[1], attention_layers=layers.get(stride, 0))
        for stride, maps in sorted(features.maps.items(), reverse=True)
    )

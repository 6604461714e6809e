"""Read features and cross-attention off one U-Net pass, at the modules that are named."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import nn

from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel

Maps = dict[int, list[torch.Tensor]]  # side of the feature map -> what was captured there, in the order of the pass


@dataclass
class Captured:
    """What one U-Net pass left behind.

    Attributes:
        token_weights: B x W x T, see `words.word_token_weights`.
        maps: outputs of the named modules, B x C x h x w each.
        attention: one per cross-attention layer, B x W x h x w: mean over heads and over the word's tokens, scaled so
            that uniform attention is 1.
    """

    token_weights: torch.Tensor
    maps: Maps = field(default_factory=dict)
    attention: Maps = field(default_factory=dict)

    def add_map(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        """Forward hook of a named module."""
        tensor = output if isinstance(output, torch.Tensor) else output[0]
        self.maps.setdefault(tensor.shape[-1], []).append(tensor)

    def add_attention(self, probabilities: torch.Tensor) -> None:
        """Add the probabilities of a layer, B x heads x (h w) x T; the map is square, as the images are."""
        tokens = probabilities.shape[-1]
        weights = self.token_weights.to(probabilities.device)
        by_word = torch.einsum("bpt,bwt->bwp", probabilities.float().mean(1), weights) * tokens
        side = math.isqrt(by_word.shape[-1])
        self.attention.setdefault(side, []).append(by_word.unflatten(-1, (side, side)))

    def features(self, image_size: int) -> DiffusionFeatures:
        """Maps of one side joined along the channels, keyed by stride, in float32."""
        return DiffusionFeatures(
            maps={image_size // side: torch.cat(maps, 1).float() for side, maps in sorted(self.maps.items())},
            attention={image_size // side: torch.stack(maps, 2) for side, maps in sorted(self.attention.items())},
            mentioned=self.token_weights.any(dim=-1),
        )


class CapturingProcessor:
    """Cross-attention that computes its probabilities explicitly (T is 32 or 77, so they are small) and reports them.

    diffusers' default processor uses fused attention, which never forms them.
    """

    def __init__(self, captured: Captured) -> None:
        self.captured = captured

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The layer's output, B x (h w) x C, as the default processor computes it."""
        query, key, value = attn.to_q(hidden_states), attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        query, key, value = (attn.head_to_batch_dim(states) for states in (query, key, value))
        probabilities = attn.get_attention_scores(query, key, attention_mask)
        self.captured.add_attention(probabilities.unflatten(0, (-1, attn.heads)))
        hidden_states = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        for layer in attn.to_out:
            hidden_states = layer(hidden_states)
        return hidden_states


def default_layers(unet: UNet2DConditionModel) -> tuple[str, ...]:
    """Names of the middle block's last layer and of every layer of the upward path, after its attention if it has one.

    The skip connections carry the downward path into the upward one, so the downward path is left out: half the
    channels of the released code's hypercolumn.
    """
    names = [f"mid_block.resnets.{len(unet.mid_block.resnets) - 1}"] if unet.mid_block is not None else []
    for number, block in enumerate(unet.up_blocks):
        part = "attentions" if hasattr(block, "attentions") else "resnets"
        names += [f"up_blocks.{number}.{part}.{layer}" for layer in range(len(getattr(block, part)))]
    return tuple(names)


@contextmanager
def capture(unet: UNet2DConditionModel, layers: Sequence[str], token_weights: torch.Tensor) -> Iterator[Captured]:
    """Capture the pass that runs within the block; hooks and processors are removed at its end.

    Hooks and processors belong to the U-Net, so one U-Net must not be captured from two threads at once.

    Args:
        unet: the network.
        layers: names of the modules whose outputs are read (`unet.get_submodule`).
        token_weights: which tokens belong to which word, B x W x T.
    """
    captured = Captured(token_weights)
    processors, capturing = unet.attn_processors, CapturingProcessor(captured)
    hooks = [unet.get_submodule(name).register_forward_hook(captured.add_map) for name in layers]
    # attn2 is cross-attention; self-attention (attn1) stays as it is.
    unet.set_attn_processor({name: capturing if ".attn2." in name else one for name, one in processors.items()})
    try:
        yield captured
    finally:
        unet.set_attn_processor(processors)
        for hook in hooks:
            hook.remove()


@contextmanager
def last_input(unet: UNet2DConditionModel) -> Iterator[list[torch.Tensor]]:
    """Within the block, a list of what the U-Net's latest pass was given: scaled latents and timestep."""
    kept: list[torch.Tensor] = []

    def keep(_unet: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        kept[:] = inputs[:2]

    hook = unet.register_forward_pre_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()


@torch.no_grad()
def measure_levels(
    unet: UNet2DConditionModel, layers: Sequence[str], latent_stride: int, num_tokens: int
) -> tuple[FeatureLevel, ...]:
    """The levels that `capture` yields, lowest resolution first, from a dry pass on the smallest possible latents."""
    side = 2 ** (len(unet.config.block_out_channels) - 1)
    parameter = next(unet.parameters())
    latents = parameter.new_zeros(1, unet.config.in_channels, side, side)
    prompt_embeds = parameter.new_zeros(1, num_tokens, unet.config.cross_attention_dim)
    with capture(unet, layers, torch.zeros(1, 1, num_tokens)) as captured:
        unet(latents, 0, prompt_embeds)
    features = captured.features(latent_stride * side)
    depths = {stride: maps.shape[2] for stride, maps in features.attention.items()}
    return tuple(
        FeatureLevel(stride=stride, channels=maps.shape[1], attention_layers=depths.get(stride, 0))
        for stride, maps in sorted(features.maps.items(), reverse=True)
    )

"""What families with a U-Net share: the levels of its upward path, and cross-attention to the prompt."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from datasetdm.diffusion.attention import CrossAttention, Report, WatchedAttention
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone


class UNetBackbone(PipelineBackbone):
    """A pipeline whose denoising network is a `UNet2DConditionModel`."""

    denoiser_name = "unet"

    @property
    def unet(self) -> Any:
        """The denoising network."""
        return self.denoiser

    @property
    def smallest_side(self) -> int:
        """See `Family.smallest_side`: each block but the last halves the resolution."""
        return 2 ** (len(self.unet.config.block_out_channels) - 1)

    def default_layers(self) -> Mapping[str, int | None]:
        """The middle block's last layer and every layer of the upward path, after its attention if it has one.

        The skip connections carry the downward path into the upward one, so the downward path is left out: half the
        channels of the released code's hypercolumn.
        """
        middle = self.unet.mid_block
        names = [f"mid_block.resnets.{len(middle.resnets) - 1}"] if middle is not None else []
        for number, block in enumerate(self.unet.up_blocks):
            part = "attentions" if hasattr(block, "attentions") else "resnets"
            names += [f"up_blocks.{number}.{part}.{layer}" for layer in range(len(getattr(block, part)))]
        return dict.fromkeys(names)

    def default_attention(self) -> tuple[str, ...]:
        """All cross-attention (`attn2`); self-attention (`attn1`) does not see the prompt."""
        return self._attention_named("attn2")

    def default_self_attention(self) -> tuple[str, ...]:
        """See `Family.default_self_attention`."""
        return self._attention_named("attn1")

    def _attention_named(self, name: str) -> tuple[str, ...]:
        ending = f".{name}.processor"
        return tuple(one.removesuffix(".processor") for one in self.unet.attn_processors if one.endswith(ending))

    def as_map(self, output: Any) -> torch.Tensor:
        """See `Family.as_map`."""
        values: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
        return values

    def watch(self, own: Any, report: Report) -> CrossAttention | WatchedAttention:
        """See `Reading.watch`: a processor with weights, an IP-Adapter's, has to go on with its work."""
        return WatchedAttention(own, report) if isinstance(own, nn.Module) else CrossAttention(own, report)

    def image_condition(self, count: int) -> dict[str, Any]:
        """What the network is given of the reference images, for each of `count` images; nothing without any."""
        if self.references is None:
            return {}
        return {"image_embeds": [part[1:].expand(count, *part.shape[1:]) for part in self.references]}

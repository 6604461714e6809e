"""What families with a transformer share: a pyramid out of blocks that have one resolution, and attention to words."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from datasetdm.diffusion.attention import Report, WatchedAttention
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone


class TransformerBackbone(PipelineBackbone):
    """A pipeline whose denoising network is a transformer over patches of the latents.

    Attributes:
        block_lists: names of the lists of blocks, in the order of the pass.
        attention_name: within a block of the first list, the attention that sees the prompt.
        self_attention_name: within such a block, the attention in which places attend to each other.
        attention_depth: which of the first list's blocks are read for attention to words, as shares of their number.
    """

    denoiser_name = "transformer"
    block_lists: ClassVar[tuple[str, ...]] = ("transformer_blocks",)
    attention_name: ClassVar[str] = "attn"
    self_attention_name: ClassVar[str] = "attn"
    attention_depth: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def smallest_side(self) -> int:
        """See `Family.smallest_side`: one patch of 2 x 2."""
        return 2

    def default_layers(self) -> Mapping[str, int | None]:
        """A pyramid of three levels, each twice as fine as the one before.

        All blocks work at the stride of a patch. The middle one is averaged to half its resolution; those at a third
        and at two thirds of the depth stay; the network's own prediction, which has the resolution of the latents,
        shows the edges that patches are too coarse for.
        """
        blocks = [
            f"{name}.{number}" for name in self.block_lists for number in range(len(self.denoiser.get_submodule(name)))
        ]
        early, middle, late = (blocks[len(blocks) * share // 6] for share in (2, 3, 4))
        patch = 2 * self.pipeline.vae_scale_factor
        return {middle: 2 * patch, early: None, late: None, "": None}

    def default_attention(self) -> tuple[str, ...]:
        """See `Family.default_attention`."""
        name = self.block_lists[0]
        count = len(self.denoiser.get_submodule(name))
        first, last = (math.floor(share * count) for share in self.attention_depth)
        return tuple(f"{name}.{number}.{self.attention_name}" for number in range(first, max(last, first + 1)))

    def default_self_attention(self) -> tuple[str, ...]:
        """See `Family.default_self_attention`: in joint attention the layers that also see the prompt."""
        return tuple(f"{name.rpartition('.')[0]}.{self.self_attention_name}" for name in self.default_attention())

    def as_map(self, output: Any) -> torch.Tensor:
        """See `Family.as_map`: tokens in their places; of a pair (prompt, image), the image."""
        values: torch.Tensor = output if isinstance(output, torch.Tensor) else output[len(output) - 1]
        if values.ndim == 4:
            return values
        side = math.isqrt(values.shape[1])
        return values.transpose(1, 2).unflatten(2, (side, side))

    def watch(self, own: Any, report: Report) -> WatchedAttention:
        """See `Reading.watch`."""
        return WatchedAttention(own, report)

"""Cross-attention maps by word, read through diffusers' attention-processor seam."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention


class WordAttention:
    """What one U-Net pass attends to, by word.

    Attributes:
        maps: side of the feature map -> one B x W x h x w tensor per cross-attention layer, in the order of the pass:
            mean over heads and over the word's tokens, scaled so that uniform attention is 1.
    """

    def __init__(self, token_weights: torch.Tensor) -> None:
        """`token_weights`: B x W x T, see `words.word_token_weights`."""
        self.token_weights = token_weights
        self.maps: dict[int, list[torch.Tensor]] = {}

    def add(self, probabilities: torch.Tensor) -> None:
        """Take in the attention of a layer, B x heads x (h w) x T; the map is square, as the images are."""
        tokens = probabilities.shape[-1]
        by_word = (
            torch.einsum("bpt,bwt->bwp", probabilities.float().mean(1), self.token_weights.to(probabilities.device))
            * tokens
        )
        side = math.isqrt(by_word.shape[-1])
        self.maps.setdefault(side, []).append(by_word.unflatten(-1, (side, side)))


class CapturingProcessor:
    """Cross-attention that materialises its probabilities (T is 32 or 77, so they are small) and hands them on."""

    def __init__(self, attention: WordAttention) -> None:
        self.attention = attention

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
        self.attention.add(probabilities.unflatten(0, (-1, attn.heads)))
        hidden_states = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        for layer in attn.to_out:
            hidden_states = layer(hidden_states)
        return hidden_states


@contextmanager
def capture_attention(unet: UNet2DConditionModel, token_weights: torch.Tensor) -> Iterator[WordAttention]:
    """Within the block every cross-attention layer reports; self-attention stays as it is, and afterwards all do.

    The processors belong to the U-Net, so one U-Net must not be captured from two threads at once.
    """
    attention = WordAttention(token_weights)
    before = unet.attn_processors
    capturing = CapturingProcessor(attention)
    unet.set_attn_processor({name: capturing if ".attn2." in name else processor for name, processor in before.items()})
    try:
        yield attention
    finally:
        unet.set_attn_processor(before)

"""Read how much each place of the image attends to each token of the prompt.

diffusers' processors use fused attention, which never forms these probabilities, so they are computed here. Processors
are diffusers' seam for this (`set_attn_processor`).
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import apply_rotary_emb

#: Takes probabilities, B x heads x places x tokens, and how many tokens of each prompt count, B (None: all).
Report = Callable[[torch.Tensor, torch.Tensor | None], None]


MOST_PLACES = 1024  # of a layer of self-attention that is read: N places give N x N numbers for each head


class CrossAttention:
    """Replaces a U-Net's cross-attention with one that forms its probabilities (small, as T is 32 or 77)."""

    def __init__(self, _own: Any, report: Report) -> None:
        self.report = report

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
        self.report(probabilities.unflatten(0, (-1, attn.heads)), None)
        hidden_states = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        for layer in attn.to_out:
            hidden_states = layer(hidden_states)
        return hidden_states


class WatchedAttention:
    """A layer's own attention, left as it is, and besides it the probabilities of `image_to_text`.

    For transformers, and for U-Nets with an IP-Adapter, which brings processors with weights: they add attention to
    reference images, which come after the prompt in a pair.

    Args:
        own: the layer's processor.
        report: gets the probabilities.
    """

    def __init__(self, own: Any, report: Report) -> None:
        self.own, self.report = own, report

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | tuple[torch.Tensor, Any],
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> Any:
        """What the layer's own processor returns."""
        prompt = encoder_hidden_states[0] if isinstance(encoder_hidden_states, tuple) else encoder_hidden_states
        both = {"attention_mask": attention_mask, "image_rotary_emb": image_rotary_emb}
        given: dict[str, Any] = {name: value for name, value in both.items() if value is not None}
        self.report(*image_to_text(attn, hidden_states, prompt, **given))
        return self.own(attn, hidden_states, encoder_hidden_states=encoder_hidden_states, **given)


class WatchedSelfAttention:
    """A layer's own attention, left as it is, and besides it how places of the image attend to each other.

    For layers of self-attention, and for those of joint attention, where the image's tokens are looked at alone.

    Args:
        own: the layer's processor.
        report: gets the probabilities, B x heads x places x places; of large maps nothing, see `MOST_PLACES`.
    """

    def __init__(self, own: Any, report: Callable[[torch.Tensor], None]) -> None:
        self.own, self.report = own, report

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> Any:
        """What the layer's own processor returns."""
        if hidden_states.shape[1] <= MOST_PLACES:
            self.report(image_to_image(attn, hidden_states, image_rotary_emb))
        both = {"attention_mask": attention_mask, "image_rotary_emb": image_rotary_emb}
        given: dict[str, Any] = {name: value for name, value in both.items() if value is not None}
        return self.own(attn, hidden_states, encoder_hidden_states=encoder_hidden_states, **given)


def image_to_image(
    attn: Any, image: torch.Tensor, image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None
) -> torch.Tensor:
    """Attention of the image's tokens (layer input, B x N x C) to each other, B x heads x N x N; rows have sum 1."""
    query, key = _heads(attn, attn.to_q(image), attn.norm_q), _heads(attn, attn.to_k(image), attn.norm_k)
    if image_rotary_emb is not None:
        places = tuple(part[-image.shape[1] :] for part in image_rotary_emb)
        query, key = apply_rotary_emb(query, places), apply_rotary_emb(key, places)
    return (query.float() @ key.float().transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(dim=-1)


def image_to_text(
    attn: Any,
    image: torch.Tensor,
    text: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention from the image's tokens to the prompt's, in cross-attention and in joint attention.

    In joint attention the image's tokens attend to each other too; the softmax here is over the prompt alone, so that
    the scale is that of cross-attention, and memory grows with N x T and not with (N + T)^2.

    Args:
        attn: the layer.
        image: its input, B x N x C.
        text: the prompt's tokens, B x T x C.
        attention_mask: added to the scores, B x 1 x T: 0 at tokens that count, very low at others.
        image_rotary_emb: cosines and sines of the positions of the T + N tokens, the prompt's first.

    Returns:
        Probabilities, B x heads x N x T, and how many tokens count, B (None: all).
    """
    joint = getattr(attn, "add_k_proj", None) is not None
    query = _heads(attn, attn.to_q(image), attn.norm_q)
    key = _heads(
        attn,
        (attn.add_k_proj if joint else attn.to_k)(text),
        attn.norm_added_k if joint else attn.norm_k,
    )
    if image_rotary_emb is not None:
        length = text.shape[1]
        key = apply_rotary_emb(key, tuple(part[:length] for part in image_rotary_emb))
        query = apply_rotary_emb(query, tuple(part[length:] for part in image_rotary_emb))
    scores = query.float() @ key.float().transpose(-1, -2) * query.shape[-1] ** -0.5
    if attention_mask is None:
        return scores.softmax(dim=-1), None
    mask = attention_mask.float()
    return (scores + mask[:, None]).softmax(dim=-1), (mask[:, 0] == 0).sum(dim=-1)


def _heads(attn: Any, states: torch.Tensor, norm: Any) -> torch.Tensor:
    """B x N x C as B x heads x N x (C / heads), normalised as the layer does."""
    split = states.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
    return split if norm is None else norm(split)

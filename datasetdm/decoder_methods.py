"""The ways to read annotations off the diffusion model (`decoder.method`): the P-Decoder, and rivals of its paper.

The rivals are ours, after theirs: small versions that keep the idea of a published method and run through the same
stages (docs/rivals.md). Builders are named as `module:object`, so that settings can be read without torch.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DecoderMethod:
    """One way to read annotations.

    Attributes:
        build: makes a `Decoder` of a task, the levels of the features, the settings, and embeddings of class names.
        title: what tables call it.
        trained: whether it is trained by gradient steps; otherwise `Decoder.choose` is all that it learns.
        embeds: whose embeddings it needs: of the class names of an open vocabulary, of all class names, of none.
        masks_of_words: whether it finds one mask for each word; the task has to make its annotation of these.
        self_attention: whether it reads how places of the image attend to each other, which takes time and memory.
    """

    build: str
    title: str
    trained: bool = True
    embeds: Literal["open vocabulary", "all", "none"] = "none"
    masks_of_words: bool = True
    self_attention: bool = False


METHODS: dict[str, DecoderMethod] = {
    "p_decoder": DecoderMethod(
        build="datasetdm.decoder.open_vocabulary:build_p_decoder",
        title="P-Decoder",
        embeds="open vocabulary",
        masks_of_words=False,
    ),
    "grounding": DecoderMethod(
        build="datasetdm.decoder.grounding:GroundingModule",
        title="grounding module, after Li et al.",
        embeds="all",
    ),
    "cross_attention": DecoderMethod(
        build="datasetdm.decoder.cross_attention:CrossAttentionDecoder",
        title="cross-attention, after DiffuMask",
        trained=False,
    ),
    "self_attention": DecoderMethod(
        build="datasetdm.decoder.self_attention:SelfAttentionDecoder",
        title="self-attention, after Dataset Diffusion",
        trained=False,
        self_attention=True,
    ),
}

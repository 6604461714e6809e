"""A family of diffusion models that the project does not ship: PixArt-alpha (Chen et al., arXiv 2310.00426)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import PixArtAlphaPipeline

from datasetdm.diffusion.transformer import TransformerBackbone
from datasetdm.diffusion.words import PromptTokens, TextInput

T5_LENGTH = 120  # tokens


class PixArtAlphaBackbone(TransformerBackbone):
    pipeline_class = PixArtAlphaPipeline
    attention_name = "attn2"
    self_attention_name = "attn1"

    def condition(self, prompts: Sequence[str], guidance_scale: float = 1.0) -> dict[str, Any]:
        embeds, mask, _, _ = self.pipeline.encode_prompt(
            list(prompts), do_classifier_free_guidance=False, device=self.device, max_sequence_length=T5_LENGTH
        )
        size = torch.full((len(prompts), 2), float(self.image_size), dtype=embeds.dtype, device=self.device)
        added = {"resolution": size, "aspect_ratio": torch.ones_like(size[:, :1])}
        return {"encoder_hidden_states": embeds, "encoder_attention_mask": mask, "added_cond_kwargs": added}

    @classmethod
    def text_inputs(cls, folder: Path) -> Sequence[TextInput]:
        return [TextInput("tokenizer", T5_LENGTH)]

    def prompt_tokens(self) -> Sequence[PromptTokens]:
        return [PromptTokens(self.pipeline.tokenizer, T5_LENGTH, str.lower)]

    def call_options(self) -> dict[str, Any]:
        return {"clean_caption": False, "use_resolution_binning": False, "max_sequence_length": T5_LENGTH}

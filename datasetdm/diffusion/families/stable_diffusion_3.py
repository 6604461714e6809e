"""Stable Diffusion 3 and 3.5 (Esser et al., arXiv 2403.03206): joint attention, three text encoders, rectified flow."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import StableDiffusion3Pipeline

from datasetdm.diffusion.transformer import TransformerBackbone
from datasetdm.diffusion.words import PromptTokens, TextInput

T5_LENGTH = 256  # tokens, the pipeline's default


class StableDiffusion3Backbone(TransformerBackbone):
    """The third text encoder, T5, may be absent, as in the pipeline: then its states are zeros."""

    pipeline_class = StableDiffusion3Pipeline
    text_encoders = ("text_encoder", "text_encoder_2")
    # Block 9 of 24 ties words to regions (Seg4Diff, Kim et al., arXiv 2509.18096); this reads it and the next two.
    attention_depth = (9 / 24, 12 / 24)

    @classmethod
    def text_inputs(cls, folder: Path) -> Sequence[TextInput]:
        """See `Family.text_inputs`: T5 reads on where both CLIPs stop."""
        t5 = [TextInput("tokenizer_3", T5_LENGTH)] if (folder / "text_encoder_3").is_dir() else []
        return [*super().text_inputs(folder), *t5]

    def call_options(self) -> dict[str, Any]:
        """See `Family.call_options`."""
        return {"max_sequence_length": T5_LENGTH}

    def condition(self, prompts: Sequence[str], guidance_scale: float = 1.0) -> dict[str, Any]:
        """See `Family.condition`."""
        embeds, _, pooled, _ = self.pipeline.encode_prompt(
            list(prompts),
            prompt_2=None,
            prompt_3=None,
            device=self.device,
            do_classifier_free_guidance=False,
            max_sequence_length=T5_LENGTH,
        )
        return {"encoder_hidden_states": embeds, "pooled_projections": pooled}

    def prompt_tokens(self) -> Sequence[PromptTokens]:
        """See `Family.prompt_tokens`: CLIP's states, both encoders' side by side, and then T5's."""
        pipeline = self.pipeline
        return [
            PromptTokens(pipeline.tokenizer, pipeline.tokenizer_max_length),
            PromptTokens(pipeline.tokenizer_3 if pipeline.text_encoder_3 is not None else None, T5_LENGTH),
        ]

"""PixArt-Sigma (Chen et al., arXiv 2403.04692): a transformer with cross-attention to T5, trained like DDPM."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers import PixArtSigmaPipeline

from datasetdm.diffusion.transformer import TransformerBackbone
from datasetdm.diffusion.words import PromptTokens, TextInput

T5_LENGTH = 300  # tokens, the pipeline's default


class PixArtSigmaBackbone(TransformerBackbone):
    """Images have the size that the settings ask for; the pipeline reads prompts in lower case."""

    pipeline_class = PixArtSigmaPipeline
    attention_name = "attn2"
    self_attention_name = "attn1"
    attention_depth = (1 / 4, 3 / 4)

    @classmethod
    def text_inputs(cls, folder: Path) -> Sequence[TextInput]:
        """See `Family.text_inputs`."""
        return [TextInput("tokenizer", T5_LENGTH)]

    def call_options(self) -> dict[str, Any]:
        """See `Family.call_options`."""
        return {"clean_caption": False, "use_resolution_binning": False, "max_sequence_length": T5_LENGTH}

    def condition(self, prompts: Sequence[str], guidance_scale: float = 1.0) -> dict[str, Any]:
        """See `Family.condition`."""
        embeds, mask, _, _ = self.pipeline.encode_prompt(
            list(prompts), do_classifier_free_guidance=False, device=self.device, max_sequence_length=T5_LENGTH
        )
        return {
            "encoder_hidden_states": embeds,
            "encoder_attention_mask": mask,
            "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
        }

    def prompt_tokens(self) -> Sequence[PromptTokens]:
        """See `Family.prompt_tokens`."""
        return [PromptTokens(self.pipeline.tokenizer, T5_LENGTH, str.lower)]

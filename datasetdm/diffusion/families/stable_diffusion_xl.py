"""SDXL (Podell et al., arXiv 2307.01952): two text encoders, and the image size as a condition."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from diffusers import StableDiffusionXLPipeline

from datasetdm.diffusion.unet import UNetBackbone
from datasetdm.diffusion.words import PromptTokens


class StableDiffusionXLBackbone(UNetBackbone):
    """Images are drawn and read as uncropped ones of their own size, as the pipeline does by default."""

    pipeline_class = StableDiffusionXLPipeline
    text_encoders = ("text_encoder", "text_encoder_2")
    load_options: ClassVar = {"add_watermarker": False}

    def __init__(self, pipeline: Any, **options: Any) -> None:
        if pipeline.vae.dtype == torch.float16 and pipeline.vae.config.force_upcast:
            pipeline.vae.to(torch.float32)  # SDXL's own autoencoder overflows in float16
        super().__init__(pipeline, **options)

    def condition(self, prompts: Sequence[str], guidance_scale: float = 1.0) -> dict[str, Any]:
        """See `Family.condition`."""
        embeds, _, pooled, _ = self.pipeline.encode_prompt(
            list(prompts), device=self.device, do_classifier_free_guidance=False
        )
        size = (self.image_size, self.image_size)
        times = self.pipeline._get_add_time_ids(size, (0, 0), size, embeds.dtype, pooled.shape[-1])
        added = {"text_embeds": pooled, "time_ids": times.to(self.device).expand(len(prompts), -1)}
        return {"encoder_hidden_states": embeds, "added_cond_kwargs": added | self.image_condition(len(prompts))}

    def prompt_tokens(self) -> Sequence[PromptTokens]:
        """See `Family.prompt_tokens`: both encoders' states of a token are one, side by side."""
        tokenizer = self.pipeline.tokenizer
        return [PromptTokens(tokenizer, tokenizer.model_max_length)]

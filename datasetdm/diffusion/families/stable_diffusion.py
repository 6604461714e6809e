"""Stable Diffusion 1.x and 2.x and every model in their folder format, including the embedded one."""

from collections.abc import Sequence
from typing import Any, ClassVar

from diffusers import StableDiffusionPipeline

from datasetdm.diffusion.unet import UNetBackbone
from datasetdm.diffusion.words import PromptTokens


class StableDiffusionBackbone(UNetBackbone):
    """One text encoder; the safety checker is not loaded: the prompts decide what is drawn."""

    pipeline_class = StableDiffusionPipeline
    load_options: ClassVar = {
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
        "low_cpu_mem_usage": False,
    }

    @property
    def text_encoder(self) -> Any:
        """CLIP's."""
        return self.pipeline.text_encoder

    def condition(self, prompts: Sequence[str], guidance_scale: float = 1.0) -> dict[str, Any]:
        """See `Family.condition`."""
        embeds = self.pipeline.encode_prompt(list(prompts), self.device, 1, False)[0]
        references = self.image_condition(len(prompts))
        return {"encoder_hidden_states": embeds} | ({"added_cond_kwargs": references} if references else {})

    def prompt_tokens(self) -> Sequence[PromptTokens]:
        """See `Family.prompt_tokens`."""
        tokenizer = self.pipeline.tokenizer
        return [PromptTokens(tokenizer, tokenizer.model_max_length)]

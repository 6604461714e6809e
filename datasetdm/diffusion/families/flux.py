"""FLUX.1 dev and schnell (Black Forest Labs): joint attention, packed latents, guidance as an input of the network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline
from diffusers.models.modeling_outputs import Transformer2DModelOutput

from datasetdm.diffusion.transformer import TransformerBackbone
from datasetdm.diffusion.words import PromptTokens, TextInput
from datasetdm.utils.files import read_json


class FluxBackbone(TransformerBackbone):
    """The latents of this class are B x 16 x h x w; the network has them packed, a 2 x 2 patch to a token."""

    pipeline_class = FluxPipeline
    text_encoders = ("text_encoder", "text_encoder_2")
    block_lists = ("transformer_blocks", "single_transformer_blocks")
    # The later of the blocks that keep prompt and image apart (ConceptAttention, Helbling et al., arXiv 2502.04320).
    attention_depth = (10 / 19, 1.0)
    timestep_unit = 1000

    @property
    def prompt_length(self) -> int:
        """Tokens of T5."""
        return _prompt_length(self.denoiser.config)

    @classmethod
    def text_inputs(cls, folder: Path) -> Sequence[TextInput]:
        """See `Family.text_inputs`: of CLIP the network sees one vector."""
        network = read_json(folder / "transformer" / "config.json", remedy="Fetch the model again.")
        return [TextInput("tokenizer", by_word=False), TextInput("tokenizer_2", _prompt_length(network))]

    def call_options(self) -> dict[str, Any]:
        """See `Family.call_options`."""
        return {"max_sequence_length": self.prompt_length}

    def condition(self, prompts: Sequence[str], guidance_scale: float = 1.0) -> dict[str, Any]:
        """See `Family.condition`."""
        embeds, pooled, text_ids = self.pipeline.encode_prompt(
            list(prompts), device=self.device, max_sequence_length=self.prompt_length
        )
        takes_guidance = self.denoiser.config.guidance_embeds
        return {
            "encoder_hidden_states": embeds,
            "pooled_projections": pooled,
            "txt_ids": text_ids,
            "guidance": torch.full([len(prompts)], guidance_scale, device=self.device) if takes_guidance else None,
        }

    def prompt_tokens(self) -> Sequence[PromptTokens]:
        """See `Family.prompt_tokens`: T5's; CLIP gives one vector for the prompt as a whole."""
        return [PromptTokens(self.pipeline.tokenizer_2, self.prompt_length)]

    def denoise(self, latents: torch.Tensor, timestep: torch.Tensor, condition: Mapping[str, Any]) -> torch.Tensor:
        """See `Family.denoise`."""
        batch, channels, height, width = latents.shape
        packed = self.pipeline._pack_latents(latents, batch, channels, height, width)
        places = self.pipeline._prepare_latent_image_ids(batch, height // 2, width // 2, latents.device, latents.dtype)
        return self.as_map(self.denoiser(packed, timestep=timestep, img_ids=places, **condition))

    def unpack(self, latents: torch.Tensor) -> torch.Tensor:
        """See `Family.unpack`."""
        scale = self.pipeline.vae_scale_factor
        side = 2 * round(latents.shape[1] ** 0.5) * scale
        unpacked: torch.Tensor = self.pipeline._unpack_latents(latents, side, side, scale)
        return unpacked

    def as_map(self, output: Any) -> torch.Tensor:
        """See `Family.as_map`; the prediction is packed too."""
        is_prediction = isinstance(output, Transformer2DModelOutput)
        return self.unpack(output.sample) if is_prediction else super().as_map(output)


def _prompt_length(network: Mapping[str, Any]) -> int:
    """dev, which takes guidance as an input, was trained with twice as many tokens as schnell."""
    return 512 if network.get("guidance_embeds") else 256

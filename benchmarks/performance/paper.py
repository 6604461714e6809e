"""The paper's procedure, as small as it can be written: the reference that our drawing is compared with.

One image at a time, in float32, 50 sampler steps, both halves of the guidance in one batch, every attention layer's
probabilities computed and kept at every step, features of the last step, decoder and export in the same loop
(arXiv 2308.06160, section 3; the released code works like this).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers.models.attention_processor import Attention

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.decoder.inference import read
from datasetdm.diffusion.capture import capture
from datasetdm.diffusion.samplers import make_scheduler
from datasetdm.diffusion.unet import UNetBackbone
from datasetdm.diffusion.words import word_token_weights
from datasetdm.synthesis.generate import Annotator
from datasetdm.tasks.base import Task
from datasetdm.utils.files import write_image

STEPS = 50


class KeepingProcessor:
    """Attention that keeps its probabilities."""

    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The layer's output."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            attn.head_to_batch_dim(states)
            for states in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        probabilities = attn.get_attention_scores(query, key, attention_mask)
        self.kept.append(probabilities)
        hidden_states = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        for layer in attn.to_out:
            hidden_states = layer(hidden_states)
        return hidden_states


@torch.no_grad()
def synthesize_like_the_paper(
    backbone: UNetBackbone,
    task: Task,
    annotator: Annotator,
    prompts: Sequence[str],
    folder: Path,
    *,
    guidance_scale: float,
    scheduler: str,
    steps: int = STEPS,
) -> None:
    """Draw an image for each prompt, annotate it, write both into the folder."""
    pipeline, unet = backbone.pipeline, backbone.unet
    sampler, samples = make_scheduler(scheduler, backbone.scheduler), []
    plain, keeping = unet.attn_processors, KeepingProcessor()
    for number, prompt in enumerate(prompts):
        sampler.set_timesteps(steps, device=backbone.device)
        generator = torch.Generator().manual_seed(number)
        latents = torch.randn(1, *backbone.latent_shape, generator=generator) * sampler.init_noise_sigma
        embeds, empty = pipeline.encode_prompt([prompt], backbone.device, 1, True)
        for step, timestep in enumerate(sampler.timesteps):
            unet.set_attn_processor(keeping)
            scaled = sampler.scale_model_input(latents, timestep)
            uncond, cond = unet(torch.cat([scaled] * 2), timestep, torch.cat([empty, embeds])).sample.chunk(2)
            if step + 1 == steps:
                unet.set_attn_processor(dict(plain))  # which takes the processors out of what it is given
                weights = word_token_weights(backbone.prompt_tokens(), [prompt], task.words)
                with capture(unet, backbone.reading, backbone.image_size, weights) as captured:
                    unet(scaled, timestep, embeds)
                features = captured.features()
            latents = sampler.step(uncond + guidance_scale * (cond - uncond), timestep, latents).prev_sample
        keeping.kept.clear()
        image = backbone.decode(latents)[0].numpy()
        once = annotator.settings.model_copy(update={"reading": None})
        (prediction,) = read(annotator.decoder, task, [features], [image], once)
        name = f"{number:06d}.png"
        write_image(folder / "images" / name, image)
        samples.append(Sample(name=name, image=image, caption=prompt, target=prediction.target, image_id=number + 1))
    standard_format(*task.kind).save(folder, "reference", samples)

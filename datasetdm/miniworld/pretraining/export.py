"""Write a pretrained pipeline in the diffusers folder format, with its model card."""

import copy
import json
import textwrap

import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline
from transformers import PreTrainedTokenizerFast

from datasetdm.diffusion.inspection import WORLD_KEY
from datasetdm.miniworld.pretraining.denoiser import Denoiser, Progress, build_scheduler
from datasetdm.miniworld.pretraining.recipe import Recipe
from datasetdm.utils.files import replacing, write_json


def export_pipeline(
    recipe: Recipe, model: Denoiser, vae: AutoencoderTiny, tokenizer: PreTrainedTokenizerFast, done: Progress
) -> None:
    """Write float16 safetensors and README.md to `recipe.export`, replacing what is there in one move."""
    half = copy.deepcopy(model).to("cpu", torch.float16)
    pipeline = StableDiffusionPipeline(
        vae=copy.deepcopy(vae).to("cpu", torch.float16),
        text_encoder=half.text_encoder,
        tokenizer=tokenizer,
        unet=half.unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with replacing(recipe.export) as folder:
        pipeline.save_pretrained(folder, safe_serialization=True)
        # transformers loads a text encoder as it was saved, diffusers the other parts in float32: they would not fit.
        text_encoder = folder / "text_encoder" / "config.json"
        write_json(text_encoder, {**json.loads(text_encoder.read_text()), "dtype": "float32"})
        index = folder / "model_index.json"
        write_json(index, {**json.loads(index.read_text()), WORLD_KEY: "miniworld"})
        (folder / "README.md").write_text(model_card(recipe, half, vae, done))


def model_card(recipe: Recipe, model: Denoiser, vae: AutoencoderTiny, done: Progress) -> str:
    """What the model is, how it was trained and what it cannot do."""
    parts = (model.unet, model.text_encoder, vae)
    unet, text, auto = (f"{sum(p.numel() for p in part.parameters()) / 1e6:.2f} M" for part in parts)
    words = model.text_encoder.config.vocab_size
    pixels = recipe.autoencoder
    total = sum(phase.steps for phase in recipe.phases)
    phases = "; ".join(f"{p.steps} steps of {p.batch_size} at {p.image_size} px" for p in recipe.phases)
    eye = pixels.perceptual
    perceptual = f"`{eye.resnet.name}`, weight {eye.weight}" if eye else "none"
    aligned = f"`{recipe.alignment.resnet.name}`, weight {recipe.alignment.weight}" if recipe.alignment else "none"
    limits = (
        f"Limits: images of {recipe.images.size} px; a vocabulary of {words} words and signs, others are read as "
        f"unknown. {recipe.remarks}"
    )
    return f"""---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---
# {recipe.name}: the embedded text-to-image model

A small latent diffusion model of the miniworld, in the folder format of Stable Diffusion
(`StableDiffusionPipeline.from_pretrained` loads it; the weights are float16 on disk and float32 once loaded). It
stands in for Stable Diffusion where that cannot be downloaded; it knows nothing of the real world.

**Pretrained on images and captions only, never on labels**: {recipe.images.num_images} rendered `web` images (seed
{recipe.images.seed}) with several captions each. No mask, box, depth or keypoint was used, no image of the
benchmarks' distributions, and none of the styles that are held out for test.

| part | size |
|---|---|
| autoencoder, factor {pixels.factor}, {pixels.latent_channels} channels | {auto} parameters |
| U-Net {tuple(recipe.unet.block_out_channels)} | {unet} parameters |
| text encoder (CLIP architecture, {recipe.text_encoder.num_layers} layers, {words} words) | {text} parameters |

| training | |
|---|---|
| autoencoder | {pixels.steps} steps of {pixels.pixels} pixels, {pixels.decoder_steps} more of the decoder alone |
| perceptual loss of the autoencoder | {perceptual} |
| U-Net and text encoder | {done.step} steps of {total} planned ({phases}) |
| samples seen | {done.samples}{", besides those of the weights it started from" if recipe.start else ""} |
| seconds | {done.seconds:.0f} on {recipe.hardware} |
| objective | v-prediction, zero terminal SNR, min-SNR clip {recipe.snr_clip} |
| representation alignment (REPA) | {aligned} |
| empty captions | {recipe.empty_captions:.0%} |
| optimiser | AdamW, weights averaged with {recipe.ema_decay} |

Sampling: DPM-Solver++ or DDIM with trailing spacing, 10 to 20 steps, guidance 2 to 4 with `guidance_rescale` 0.8.

{textwrap.fill(limits, 118)}

Made by `python -m datasetdm.miniworld.pretraining`.
"""

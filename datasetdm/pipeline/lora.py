"""Train the LoRA of a benchmark; see `stages.adapt`. Apart from the stage, because its imports take long."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch

from datasetdm import config
from datasetdm.datasets.standard.unlabelled import Unlabelled
from datasetdm.diffusion import load_backbone
from datasetdm.diffusion.backbone import encode_images
from datasetdm.diffusion.lora_training import LoraTraining, Pictures
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone
from datasetdm.pipeline.context import Context, release_backbone
from datasetdm.synthesis.generate import GenerationRequest, draw
from datasetdm.transforms.geometry import squeeze
from datasetdm.utils.batches import batches
from datasetdm.utils.files import write_json
from datasetdm.utils.progress import say
from datasetdm.utils.seeding import derived_seed

HELD_OUT = 0.1  # share of the images that are not learnt, to see what the LoRA makes of others
MOST_HELD_OUT = 32
ENCODED = 8  # images at a time


def train_lora(
    context: Context, images: Sequence[Unlabelled], prior_prompts: Sequence[str], folder: Path, resume: Path
) -> None:
    """Train the LoRA on images and write it to a folder, with the curve of its loss and `metrics.json`.

    Args:
        context: the benchmark.
        images: the last `HELD_OUT` of them only measure the model's error before and after.
        prior_prompts: what the model is asked to draw, so that it does not forget it.
        folder: of the result.
        resume: folder for a checkpoint.
    """
    settings = context.settings.adapt
    assert settings is not None  # there is no unit otherwise
    release_backbone()
    training = LoraTraining(plain_backbone(context), settings, identity=resume.name)
    prior = _draw_prior(context, training.backbone, settings, prior_prompts) if settings.prior_weight else None
    num_held_out = min(MOST_HELD_OUT, round(HELD_OUT * len(images)))
    learnt, held_out = images[: len(images) - num_held_out], images[len(images) - num_held_out :]
    say(f"learns from {len(learnt)} images; {num_held_out} more show what it has learnt")
    judged = encode_pictures(training.backbone, _read(held_out))
    before = training.error(judged, with_lora=False)
    training.run(encode_pictures(training.backbone, _read(learnt)), prior, resume / "checkpoint.pt")
    metrics = {"images": float(len(learnt)), "loss": training.rows[-1]["loss"]}
    if held_out:
        metrics |= {"held_out_error_before": before, "held_out_error": training.error(judged)}
        say(f"error on held-out images: {before:.4f} before, {metrics['held_out_error']:.4f} now")
    training.save(folder)
    write_json(folder / "metrics.json", metrics)


def plain_backbone(context: Context) -> PipelineBackbone:
    """The model without the LoRA, loaded for this alone, as its network is about to change."""
    # Offloading moves the network about, and the optimizer would lose sight of it.
    settings = context.params.backbone.model_copy(update={"cpu_offload": False})
    backbone = load_backbone(settings, context.params.device)
    assert isinstance(backbone, PipelineBackbone)
    return backbone


def encode_pictures(backbone: PipelineBackbone, pictures: Iterable[tuple[np.ndarray, str]]) -> Pictures:
    """Images (uint8, H x W x 3, of any size) with their captions as the model sees them.

    Each is squeezed into the model's square as a whole, as the P-Decoder sees them, too.
    """
    latents, captions = [torch.zeros(0, *backbone.latent_shape)], []
    for part in batches(pictures, ENCODED):
        squares = [squeeze(image, backbone.image_size) for image, _ in part]
        latents.append(encode_images(backbone, squares).float().cpu())
        captions += [caption for _, caption in part]
    return Pictures(latents=torch.cat(latents), captions=captions)


def _read(images: Iterable[Unlabelled]) -> Iterator[tuple[np.ndarray, str]]:
    """Images with their captions, one at a time."""
    return ((image.read(), image.caption) for image in images)


def _draw_prior(
    context: Context, backbone: PipelineBackbone, settings: config.Adaptation, asked: Sequence[str]
) -> Pictures:
    """Images that the model draws before it learns; the layers of the LoRA change nothing yet."""
    prompts = list(islice(cycle(asked), settings.num_prior_images))
    requests = [
        GenerationRequest(index=number, prompt_id=number, prompt=prompt, seed=derived_seed(settings.seed, 9, number))
        for number, prompt in enumerate(prompts)
    ]
    latents = draw(backbone, requests, context.settings.synthesis.sampler, settings.batch_size)
    return Pictures(latents=latents.float().cpu(), captions=prompts)

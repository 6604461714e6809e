"""Pretrain the embedded backbone: python -m datasetdm.miniworld.pretraining.pretrain --config params/pretrain_cpu.yaml

Renders images with captions, trains the autoencoder, then U-Net and text encoder, and exports the pipeline; every
stage goes on from its last checkpoint. Labels take no part.
"""

import sys

import torch

from datasetdm.miniworld.captions import vocabulary
from datasetdm.miniworld.pretraining.autoencoder import load_autoencoder, train_autoencoder
from datasetdm.miniworld.pretraining.denoiser import Denoiser, Progress, train_denoiser
from datasetdm.miniworld.pretraining.export import export_pipeline
from datasetdm.miniworld.pretraining.pool import load_pool
from datasetdm.miniworld.pretraining.recipe import Recipe, run_recipe
from datasetdm.miniworld.pretraining.tokenizer import build_tokenizer


def pretrain(recipe: Recipe) -> None:
    """Run all stages, or what is left of them."""
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.backends.cudnn.benchmark = True  # shapes stay the same for thousands of steps
    settings = recipe.images
    pool = load_pool(
        recipe.work / "images",
        num_images=settings.num_images,
        size=settings.size,
        seed=settings.seed,
        workers=settings.workers,
    )
    vae = load_autoencoder(recipe.start, recipe.device) if recipe.start else train_autoencoder(recipe, pool)
    tokenizer = build_tokenizer(vocabulary(), recipe.text_encoder.max_length)

    def export(model: Denoiser, done: Progress) -> None:
        export_pipeline(recipe, model, vae, tokenizer, done)

    train_denoiser(recipe, pool, vae, tokenizer, export)


if __name__ == "__main__":
    sys.exit(run_recipe(pretrain, __doc__.split("\n\n")[0]))

"""Pretrain the embedded text-to-image model.

Renders images with captions, trains the autoencoder, then U-Net and text encoder, and exports the pipeline. Every stage
resumes from its last checkpoint. No labels are used.
"""

import torch

from datasetdm.miniworld.captions import vocabulary
from datasetdm.miniworld.pretraining.autoencoder import load_autoencoder, train_autoencoder
from datasetdm.miniworld.pretraining.denoiser import Denoiser, Progress, train_denoiser
from datasetdm.miniworld.pretraining.export import export_pipeline
from datasetdm.miniworld.pretraining.pool import recipe_pool
from datasetdm.miniworld.pretraining.recipe import Recipe
from datasetdm.miniworld.pretraining.tokenizer import build_tokenizer


def pretrain_diffusion(recipe: Recipe) -> None:
    """Run all stages, or what is left of them."""
    torch.backends.cudnn.benchmark = True  # shapes stay the same for thousands of steps
    pool = recipe_pool(recipe)
    vae = load_autoencoder(recipe.start, recipe.device) if recipe.start else train_autoencoder(recipe, pool)
    tokenizer = build_tokenizer(vocabulary(), recipe.text_encoder.max_length)

    def export(model: Denoiser, done: Progress) -> None:
        export_pipeline(recipe, model, vae, tokenizer, done)

    train_denoiser(recipe, pool, vae, tokenizer, export)

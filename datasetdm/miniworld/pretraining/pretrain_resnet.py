"""Pretrain the downstream models' backbone on the same images and captions, never on labels.

A ResNet-18 learns which categories the captions of an image name. It stands in for the ImageNet weights from which
downstream models usually start, as those cannot be shipped.
"""

import re
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from datasetdm.miniworld.catalog import THINGS
from datasetdm.miniworld.pretraining import progress
from datasetdm.miniworld.pretraining.pool import ImagePool, recipe_pool
from datasetdm.miniworld.pretraining.recipe import Recipe
from datasetdm.miniworld.pretraining.resnet import ResNet18
from datasetdm.prompts.mentions import Word
from datasetdm.utils.files import replacing
from datasetdm.utils.normalisation import normalise

STAGE = 3


def pretrain_resnet(recipe: Recipe) -> None:
    """Train, or resume, and export."""
    pool = recipe_pool(recipe)
    tags = caption_tags(pool.captions, [category.name for category in THINGS])
    train_resnet(recipe, pool, tags)


def caption_tags(captions: list[list[str]], names: list[str]) -> torch.Tensor:
    """Which names, or their plurals, any caption of an image contains: float32, N x len(names), zeros and ones."""
    patterns = [re.compile(rf"\b(?:{'|'.join(Word(name).forms)})\b") for name in names]
    return torch.tensor(
        [[float(bool(pattern.search(" ; ".join(texts)))) for pattern in patterns] for texts in captions]
    )


def train_resnet(recipe: Recipe, pool: ImagePool, tags: torch.Tensor) -> None:
    """Binary cross-entropy per tag on mirrored images of several sizes."""
    settings = recipe.tagger
    torch.manual_seed(recipe.seed)
    model = ResNet18(tags.shape[1]).to(recipe.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.02, fused=True)
    path = recipe.work / "resnet18.pt"
    state = progress.load_checkpoint(path)
    start, seconds = 0, 0.0
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start, seconds = state["step"], state["seconds"]
    log = progress.Log(recipe.work / "log.csv", "resnet18")
    model.train()
    for step in range(start, settings.steps):
        began = time.monotonic()
        generator = progress.step_generator(recipe.seed, STAGE, step)
        index = torch.randint(0, len(pool), (settings.batch_size,), generator=generator)
        batch = normalise(np.stack([pool[k] for k in index.tolist()]))
        size = settings.image_sizes[step % len(settings.image_sizes)]
        batch = F.interpolate(batch, (size, size), mode="bilinear", antialias=True).to(recipe.device)
        if torch.rand((), generator=generator) < 0.5:
            batch = batch.flip(3)
        rate = progress.learning_rate(settings.learning_rate, step, settings.steps, warmup=50, decay=0.5)
        progress.set_learning_rate(optimizer, rate)
        target = tags[index].to(recipe.device)
        with torch.autocast(torch.device(recipe.device).type, torch.bfloat16, enabled=recipe.autocast):
            logits = model(batch)
        loss = F.binary_cross_entropy_with_logits(logits.float(), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recall = ((logits > 0) & (target > 0)).sum() / target.sum().clamp(min=1)
        log.add(step, rate, {"bce": loss, "recall": recall})
        seconds += time.monotonic() - began
        done = step + 1
        if done % recipe.checkpoint_every == 0 or done == settings.steps:
            tensors = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            progress.save_checkpoint(path, {**tensors, "step": done, "seconds": seconds})
            export_resnet(recipe, model, done, seconds)


def export_resnet(recipe: Recipe, model: ResNet18, steps: int, seconds: float) -> None:
    """Write `model.safetensors` (float16, torchvision's names, no classifier) and the model card."""
    weights = {
        name: value.to("cpu", torch.float16 if value.is_floating_point() else value.dtype).contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith("fc.")
    }
    with replacing(recipe.tagger.export) as folder:
        folder.mkdir()
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "README.md").write_text(_model_card(recipe, steps, seconds))


def _model_card(recipe: Recipe, steps: int, seconds: float) -> str:
    settings = recipe.tagger
    sizes = " / ".join(map(str, settings.image_sizes))
    return f"""---
license: apache-2.0
---
# {settings.export.name}: the starting point of downstream models

ResNet-18 with torchvision's parameter names (`conv1.weight`, `layer1.0.conv1.weight`, ...), float16, without the
classifier; RGB input, ImageNet's mean and deviation. The embedded default uses it instead of ImageNet weights.

**Pretrained on images and captions only, never on labels**: on the {recipe.images.num_images} rendered `web` images of
the embedded text-to-image model it learned which of {len(THINGS)} category names the captions hold (multi-label).

{steps} of {settings.steps} steps of {settings.batch_size} images of {sizes} px, AdamW, learning rate
{settings.learning_rate}; {seconds:.0f} seconds on {recipe.hardware}.

Limits: it knows only the miniworld; for photographs start from ImageNet weights.
Made by `python -m datasetdm.miniworld.pretraining --part resnet`.
"""

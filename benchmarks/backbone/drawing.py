"""Drawn images, cached in shards; a shard is named by the model, the sampler, the prompts and the seed."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.backbone.command import say
from datasetdm import config
from datasetdm.diffusion import Backbone
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.synthesis.generate import GenerationRequest, draw
from datasetdm.utils.batches import batches
from datasetdm.utils.digests import digest
from datasetdm.utils.seeding import derived_seed

SHARD_SIZE = 100


def draw_images(
    backbone: Backbone, prompts: Sequence[str], sampler: config.Sampler, *, batch_size: int, seed: int, cache: Path
) -> np.ndarray:
    """One image per prompt, uint8 N x S x S x 3.

    An image depends on its prompt, its position and the seed, so that a longer list only adds to a shorter one.

    Args:
        backbone: the model.
        prompts: N texts.
        sampler: its settings.
        batch_size: images drawn at a time.
        seed: of the noise.
        cache: where the shards are kept, in `drawn/`.
    """
    shards = []
    for requests in batches(_requests(prompts, seed), SHARD_SIZE):
        folder = cache / "drawn" / _shard_name(backbone, requests, sampler, batch_size)
        make_unit(folder, partial(_draw_shard, backbone, requests, sampler, batch_size))
        shards.append(np.load(folder / "images.npy"))
        say(f"{requests[-1].index + 1} of {len(prompts)} images drawn in {sampler.num_inference_steps} steps")
    return np.concatenate(shards)


def _requests(prompts: Sequence[str], seed: int) -> list[GenerationRequest]:
    return [
        GenerationRequest(index=number, prompt_id=number, prompt=prompt, seed=derived_seed(seed, number))
        for number, prompt in enumerate(prompts)
    ]


def _shard_name(
    backbone: Backbone, requests: Sequence[GenerationRequest], sampler: config.Sampler, batch_size: int
) -> str:
    return digest(backbone.fingerprint, sampler, batch_size, [(request.prompt, request.seed) for request in requests])


def _draw_shard(
    backbone: Backbone, requests: Sequence[GenerationRequest], sampler: config.Sampler, batch_size: int, folder: Path
) -> None:
    images = [
        backbone.decode(draw(backbone, batch, sampler, batch_size)).numpy() for batch in batches(requests, batch_size)
    ]
    np.save(folder / "images.npy", np.concatenate(images))

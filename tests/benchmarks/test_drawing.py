from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.backbone import drawing
from benchmarks.backbone.drawing import draw_images
from datasetdm import config
from datasetdm.diffusion.features import Generated

SAMPLER = config.Sampler(num_inference_steps=2)


class Noise:
    """Draws noise of 4 x 4 pixels, and counts how much."""

    fingerprint = "noise"
    drawn = 0

    def generate(self, prompts: Sequence[str], *, generators: Sequence[torch.Generator], **_: Any) -> Generated:
        self.drawn += len(prompts)
        return Generated(latents=torch.stack([torch.rand(4, 4, 3, generator=one) for one in generators]))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return (latents * 255).byte()


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "SHARD_SIZE", 3)


def test_drawn_images_are_drawn_once(tmp_path: Path) -> None:
    model, prompts = Noise(), [f"prompt {number}" for number in range(5)]
    images = draw_images(model, prompts, SAMPLER, batch_size=2, seed=0, cache=tmp_path)
    again = draw_images(model, prompts, SAMPLER, batch_size=2, seed=0, cache=tmp_path)
    assert images.shape == (5, 4, 4, 3) and np.array_equal(images, again) and model.drawn == 6  # full batches


def test_a_longer_list_adds_to_a_shorter_one(tmp_path: Path) -> None:
    model, prompts = Noise(), [f"prompt {number}" for number in range(6)]
    few = draw_images(model, prompts[:3], SAMPLER, batch_size=2, seed=0, cache=tmp_path)
    many = draw_images(model, prompts, SAMPLER, batch_size=2, seed=0, cache=tmp_path)
    assert np.array_equal(few, many[:3]) and model.drawn == 8


def test_sampler_and_seed_tell_shards_apart(tmp_path: Path) -> None:
    model, more_steps = Noise(), SAMPLER.model_copy(update={"num_inference_steps": 3})
    first = draw_images(model, ["a dog"], SAMPLER, batch_size=2, seed=0, cache=tmp_path)
    draw_images(model, ["a dog"], more_steps, batch_size=2, seed=0, cache=tmp_path)
    other = draw_images(model, ["a dog"], SAMPLER, batch_size=2, seed=1, cache=tmp_path)
    assert model.drawn == 6 and not np.array_equal(first, other)

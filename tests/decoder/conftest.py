"""A real, tiny backbone and a world of two-coloured shapes."""

from collections.abc import Sequence

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from datasetdm import config
from datasetdm.annotations.sample import Category, Sample
from datasetdm.diffusion.backbone import Backbone, NoiseLevel
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel, Generated
from datasetdm.prompts.mentions import Word
from datasetdm.tasks.instance import InstanceTask
from tests.transforms.shapes import SIDE, make_sample


class ConvBackbone(Backbone):
    """Random convolutions over the noised image; the latents are the image at half size.

    Attention is where the noised image has the colour of the word, for the words that the prompt holds.
    """

    def __init__(self, seed: int = 0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.ModuleList([nn.Conv2d(3, 24, 3, padding=1), nn.Conv2d(24, 32, 3, 2, 1)])
            self.layers.append(nn.Conv2d(32, 32, 3, 2, 1))
        self.image_size = SIDE
        self.latent_shape = (3, SIDE // 2, SIDE // 2)
        self.feature_info = (FeatureLevel(8, 32, 2), FeatureLevel(4, 32, 1), FeatureLevel(2, 24, 0))
        self.fingerprint = f"conv-{seed}"
        self.device = torch.device("cpu")
        self.views = 0

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(images, 2)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        images = F.interpolate(latents, scale_factor=2).permute(0, 2, 3, 1)
        return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)

    def generate(self, prompts: Sequence[str], *, generators: Sequence[torch.Generator], **_: object) -> Generated:
        return Generated(latents=torch.stack([torch.rand(self.latent_shape, generator=g) for g in generators]))

    @torch.no_grad()
    def extract(
        self,
        latents: torch.Tensor,
        prompts: Sequence[str],
        *,
        timestep: NoiseLevel | Sequence[NoiseLevel],
        words: Sequence[Word],
        generators: Sequence[torch.Generator],
        self_attention: bool = False,
    ) -> DiffusionFeatures:
        self.views += len(latents)
        steps = [timestep] * len(latents) if isinstance(timestep, int) else list(timestep)
        noise = torch.stack([torch.randn(self.latent_shape, generator=generator) for generator in generators])
        x = latents + noise * torch.tensor(steps)[:, None, None, None] / 1000
        maps = {}
        for stride, layer in zip((2, 4, 8), self.layers, strict=True):
            x = F.relu(layer(x))
            maps[stride] = x * 10**stride**0.5  # scales as different as those of a U-Net
        named = torch.tensor([[float(word.noun in prompt) for word in words] for prompt in prompts])
        attention = {
            level.stride: named[:, :, None, None, None]
            * maps[level.stride].softmax(dim=1)[:, : len(words), None].repeat(1, 1, level.attention_layers, 1, 1)
            for level in self.feature_info
            if level.attention_layers
        }
        flat = maps[8].flatten(2)
        together = {8: (flat.transpose(1, 2) @ flat / flat.std()).softmax(dim=-1)} if self_attention else {}
        return DiffusionFeatures(maps=maps, attention=attention, mentioned=named.bool(), self_attention=together)


@pytest.fixture
def backbone() -> ConvBackbone:
    return ConvBackbone()


@pytest.fixture
def task() -> InstanceTask:
    return InstanceTask([Category(id=3, name="box"), Category(id=7, name="disc")])


@pytest.fixture
def samples() -> list[Sample]:
    return [make_sample(seed) for seed in range(8)]


@pytest.fixture
def settings() -> config.Decoder:
    return config.Decoder(
        hidden_dim=32,
        num_queries=8,
        num_layers=2,
        num_heads=4,
        feedforward_dim=64,
        views_per_image=4,
        iterations=8,
        batch_size=4,
        learning_rate=2e-3,
        evaluate_every=4,
    )

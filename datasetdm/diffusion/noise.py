"""How a family noises latents before they are read: as in denoising diffusion, or as in flow matching."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler

from datasetdm.diffusion.backbone import NoiseLevel
from datasetdm.diffusion.inspection import is_flow


class Noise(ABC):
    """The noise that a network was trained on.

    Args:
        config: of the model's own scheduler.
    """

    def __init__(self, config: Any) -> None:
        self.num_train_timesteps: int = config.get("num_train_timesteps", 1000)

    @abstractmethod
    def timesteps(self, levels: Sequence[NoiseLevel]) -> torch.Tensor:
        """The timestep of each level, B: integers stay what they are."""

    @abstractmethod
    def add(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Latents with noise (both float32, B x C x h x w) at the timesteps, B."""

    @abstractmethod
    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """What the network is trained to predict for these latents with this noise, B x C x h x w."""

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Timesteps as the network's training draws them, `count`."""


class DiffusionNoise(Noise):
    """Of a model in the manner of DDPM (Ho et al., arXiv 2006.11239)."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        # The model's own sampler may scale noise differently (Euler's do) than in the network's training.
        self._schedule = DDIMScheduler.from_config(config)

    def timesteps(self, levels: Sequence[NoiseLevel]) -> torch.Tensor:
        """See `Noise.timesteps`; int64."""
        count = self.num_train_timesteps
        return torch.tensor([one if isinstance(one, int) else min(round(one * count), count - 1) for one in levels])

    def add(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """See `Noise.add`."""
        noisy: torch.Tensor = self._schedule.add_noise(latents, noise, timesteps)
        return noisy

    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """See `Noise.target`: the noise, the velocity (Salimans & Ho, arXiv 2202.00512) or the image."""
        kind = self._schedule.config.prediction_type
        if kind == "v_prediction":
            velocity: torch.Tensor = self._schedule.get_velocity(latents, noise, timesteps)
            return velocity
        return latents if kind == "sample" else noise

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """See `Noise.sample`; all alike, int64."""
        return torch.randint(self.num_train_timesteps, (count,), generator=generator)


class FlowNoise(Noise):
    """Of a model that was trained with rectified flow (Esser et al., arXiv 2403.03206): the level is noise's share."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        # With a shift that depends on the image's size, training draws unshifted levels, as diffusers' scripts do.
        self._shift: float = 1.0 if config.get("use_dynamic_shifting") else config.get("shift", 1.0)

    def timesteps(self, levels: Sequence[NoiseLevel]) -> torch.Tensor:
        """See `Noise.timesteps`; float32."""
        return torch.tensor([float(one if isinstance(one, int) else one * self.num_train_timesteps) for one in levels])

    def add(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """See `Noise.add`."""
        share = (timesteps / self.num_train_timesteps)[:, None, None, None]
        return (1 - share) * latents + share * noise

    def target(self, latents: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """See `Noise.target`: the way from the image to the noise."""
        return noise - latents

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """See `Noise.sample`; logit-normal, and shifted towards noise as the model's own sampler is; float32."""
        share = torch.randn(count, generator=generator).sigmoid()
        return self.num_train_timesteps * self._shift * share / (1 + (self._shift - 1) * share)


def noise_of(scheduler: Any) -> Noise:
    """The noise of the model that a scheduler belongs to."""
    return FlowNoise(scheduler.config) if matches_flow(scheduler) else DiffusionNoise(scheduler.config)


def matches_flow(scheduler: Any) -> bool:
    """Whether a scheduler is one of flow matching."""
    return is_flow(type(scheduler).__name__, scheduler.config)

"""The contract of a diffusion backbone: draw images, and read features off images."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel, Generated
from datasetdm.errors import DatasetDMError


class Backbone(ABC):
    """A frozen latent text-to-image diffusion model.

    Attributes:
        image_size: side of the square images in pixels.
        latent_shape: (C, h, w) of the latents of one image.
        feature_info: the levels that `extract` yields, lowest resolution first.
        fingerprint: digest of the weights and of the settings that change what comes out.
        device: where it runs.
    """

    image_size: int
    latent_shape: tuple[int, int, int]
    feature_info: tuple[FeatureLevel, ...]
    fingerprint: str
    device: torch.device

    def portion(self, most: int) -> int:
        """How many images are best taken at once, `most` at the most.

        On a GPU as many as that. On the CPU one: the last bits of a product depend on the size of its batch, so that an
        image by itself would come out a little different from the same image among others. It costs time: with the
        embedded model a guided pass took 27 ms an image instead of 21 in batches of eight.
        """
        return 1 if self.device.type == "cpu" else most

    def provenance(self, scheduler: str) -> dict[str, Any]:
        """What decides how an image looks beside prompt, seed and the arguments of `generate`, as plain values.

        Args:
            scheduler: as in `generate`.
        """
        return {"image_size": self.image_size, "device": self.device.type}

    @abstractmethod
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latents (the mode of the posterior, in the U-Net's scaling) of float B x 3 x S x S images in [-1, 1]."""

    @abstractmethod
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images, uint8 B x S x S x 3 RGB on the CPU."""

    @abstractmethod
    def generate(
        self,
        prompts: Sequence[str],
        *,
        generators: Sequence[torch.Generator],
        num_inference_steps: int,
        guidance_scale: float,
        guidance_rescale: float = 0.0,
        scheduler: str,
        words: Sequence[str] | None = None,
    ) -> Generated:
        """Draw one image per prompt.

        Args:
            prompts: B texts.
            generators: one CPU generator per prompt; an image depends on its own prompt and generator alone.
            num_inference_steps: sampler steps.
            guidance_scale: classifier-free guidance (Ho & Salimans, arXiv 2207.12598); 1 switches it off.
            guidance_rescale: how far the spread of the guided prediction is taken back to that of the unguided one,
                0 to 1 (Lin et al., arXiv 2305.08891, section 3.4); without it strong guidance makes colours glaring.
            scheduler: "dpmsolver++", "ddim", "pndm" or "model" (the one in the model's folder).
            words: capture features of the last step with the attention of these words (the paper's way).
        """

    @abstractmethod
    def extract(
        self,
        latents: torch.Tensor,
        prompts: Sequence[str],
        *,
        timestep: int | Sequence[int],
        words: Sequence[str],
        generators: Sequence[torch.Generator],
    ) -> DiffusionFeatures:
        """Noise the latents to `timestep` and read one conditional U-Net pass (paper section 3.2).

        Real and generated images go the same way. Args as in `generate`; `timestep` is one for all images
        or one each; an image's features depend on its own latents, prompt, timestep and generator alone.
        """

    def embed_words(self, words: Sequence[str]) -> torch.Tensor:
        """What the text encoder makes of each word, float32 W x D on the CPU; a word may be several, "traffic light".

        Raises:
            DatasetDMError: the model has no text encoder, or cannot read a word.
        """
        raise DatasetDMError(
            f"{type(self).__name__} has no text encoder, and classes cannot be asked for by name without one: set "
            "task.unseen to [] in params.yaml, or take a text-to-image model as backbone.path."
        )


def encode_images(backbone: Backbone, images: Sequence[np.ndarray]) -> torch.Tensor:
    """Latents of uint8 images that have the backbone's size."""
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return backbone.encode(stacked.to(backbone.device, torch.float32) / 127.5 - 1)

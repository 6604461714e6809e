"""The contract of a diffusion backbone: it draws images, and reads features off images."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel, Generated
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mentions import Word

#: A share of the noise schedule from 0 (the image) to 1 (noise alone) as a float, or a timestep of the model as an
#: integer. Of the usual 1000 timesteps, 50 and 0.05 mean the same.
NoiseLevel = int | float


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
        """The number of given images to annotate at once, at most `most`.

        On a GPU `most`. On the CPU one: the last bits of a product depend on the batch size, so the annotation of an
        image alone would differ slightly from that of the same image in a batch.
        """
        return 1 if self.device.type == "cpu" else most

    def provenance(self, scheduler: str) -> dict[str, Any]:
        """What decides how an image looks, besides prompt, seed and the arguments of `generate`, as plain values.

        Args:
            scheduler: as in `generate`.
        """
        return {"image_size": self.image_size, "device": self.device.type}

    @abstractmethod
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Latents (the mode of the posterior, in the network's scaling) of float B x 3 x S x S images in [-1, 1]."""

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
        words: Sequence[Word] | None = None,
    ) -> Generated:
        """Draw one image per prompt.

        Args:
            prompts: B texts.
            generators: one CPU generator per prompt; an image depends on its own prompt and generator alone.
            num_inference_steps: sampler steps.
            guidance_scale: classifier-free guidance (Ho & Salimans, arXiv 2207.12598), or an input of models that were
                distilled to guide themselves; 1 switches it off.
            guidance_rescale: how far the deviation of the guided prediction is scaled back to that of the conditional
                one, 0 to 1 (Lin et al., arXiv 2305.08891, section 3.4); without it strong guidance oversaturates.
            scheduler: "dpmsolver++", "ddim", "pndm" or "model" (the one in the model's folder, which models of flow
                matching need).
            words: also return features of the last step, with the attention of these words (the paper's way).
        """

    @abstractmethod
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
        """Noise the latents to `timestep` and read one conditional pass of the network (paper section 3.2).

        Real and generated images are read in the same way. An image's features depend only on its own latents, prompt,
        timestep and generator.

        Args:
            latents: B x C x h x w, as `encode` and `generate` return them.
            prompts: B texts.
            timestep: noise level, one for all images or one each.
            words: W words whose attention is read.
            generators: one CPU generator per image, for its noise.
            self_attention: also read how places of the image attend to each other, which takes time and memory.

        Raises:
            DatasetDMError: self-attention is asked for, and this backbone cannot give it.
        """

    def embed_words(self, words: Sequence[str]) -> torch.Tensor:
        """The text encoder's embedding of each word, float32 W x D on the CPU; names may have several words.

        Raises:
            DatasetDMError: the model has no text encoder, or cannot read a word.
        """
        raise DatasetDMError(
            f"{type(self).__name__} has no text encoder, which is needed to find classes by name: set "
            "task.unseen to [] in params.yaml, or set backbone.path to a text-to-image model."
        )


def encode_images(backbone: Backbone, images: Sequence[np.ndarray]) -> torch.Tensor:
    """Latents of uint8 images that have the backbone's size."""
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return backbone.encode(stacked.to(backbone.device, torch.float32) / 127.5 - 1)

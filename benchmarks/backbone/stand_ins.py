"""Stand-ins for the embedded model that show what its training is worth: random weights, and pixels alone."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from datasetdm import config
from datasetdm.diffusion import Backbone
from datasetdm.diffusion.backbone import NoiseLevel
from datasetdm.diffusion.families.stable_diffusion import StableDiffusionBackbone
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel, Generated
from datasetdm.diffusion.weights import find_weights, fingerprint_of
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mentions import Word
from datasetdm.utils.devices import choose_device


class Pixels(Backbone):
    """The image itself instead of features: mean colours of squares as large as the model's strides.

    Args:
        like: the model whose image size, strides and device are taken over.
    """

    def __init__(self, like: Backbone) -> None:
        self.image_size = like.image_size
        self.latent_shape = (3, like.image_size, like.image_size)
        self.feature_info = tuple(FeatureLevel(level.stride, 3, 0) for level in like.feature_info)
        self.fingerprint = "pixels"
        self.device = like.device

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """The images themselves."""
        return images.to(self.device)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See `Backbone.decode`."""
        return latents.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu()

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
        """Pixels draw nothing."""
        raise DatasetDMError("The stand-in for pixels is read, it cannot draw: name a diffusion model with --backbone.")

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
        """Mean colours, B x 3 x S/stride x S/stride; there is no noise and no attention, and prompts are not read."""
        maps = {level.stride: F.avg_pool2d(latents.to(self.device), level.stride) for level in self.feature_info}
        return DiffusionFeatures(maps=maps, attention={})


def random_unet(settings: config.Backbone, device: str, seed: int) -> Backbone:
    """The model with its own autoencoder and text encoder, and a U-Net of its configuration with random weights."""
    folder = find_weights(settings)
    pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pipeline.unet = UNet2DConditionModel.from_config(pipeline.unet.config)
    return StableDiffusionBackbone(
        pipeline,
        image_size=settings.image_size,
        device=choose_device(device),
        fingerprint=fingerprint_of(folder, f"random U-Net {seed}"),
    )

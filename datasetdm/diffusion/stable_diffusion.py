"""Stable Diffusion 1.x and every model in its folder format, the embedded one among them."""

import inspect
import logging
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler, StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from datasetdm import config
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.features import DiffusionFeatures, Generated
from datasetdm.diffusion.hypercolumn import capture, measure_levels
from datasetdm.diffusion.weights import fingerprint_of, how_to_get
from datasetdm.diffusion.words import unknown_words, word_token_weights
from datasetdm.errors import DatasetDMError
from datasetdm.utils.devices import choose_device

logger = logging.getLogger(__name__)


class StableDiffusionBackbone(Backbone):
    """Autoencoder, text encoder and U-Net of a `StableDiffusionPipeline`, frozen.

    One instance must not be used from two threads at once: `extract` and `generate` hook into its U-Net while they run.
    """

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        *,
        image_size: int,
        device: torch.device,
        fingerprint: str,
        source: tuple[str, str | None] = ("", None),
    ) -> None:
        """`source`: folder or hub name of the model, and its revision."""
        self.source = source
        self.vae = pipeline.vae.to(device).requires_grad_(False).eval()
        self.text_encoder = pipeline.text_encoder.to(device).requires_grad_(False).eval()
        self.unet = pipeline.unet.to(device).requires_grad_(False).eval()
        self.tokenizer = pipeline.tokenizer
        self.scheduler = pipeline.scheduler
        # The model's own sampler may measure noise in another way (Euler's do) than the U-Net was trained with.
        self._noising = DDIMScheduler.from_config(pipeline.scheduler.config)
        self.device = device
        self.fingerprint = fingerprint
        latent_stride = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.feature_info = measure_levels(self.unet, latent_stride, self.tokenizer.model_max_length)
        coarsest = self.feature_info[0].stride
        if image_size % coarsest:
            raise DatasetDMError(
                f"backbone.image_size is {image_size} in params.yaml; this model needs a multiple of {coarsest}."
            )
        side = image_size // latent_stride
        self.image_size = image_size
        self.latent_shape = (self.unet.config.in_channels, side, side)

    @classmethod
    def load(cls, folder: Path, settings: config.Backbone) -> "StableDiffusionBackbone":
        """The model in `folder`; the safety checker is not loaded, the domain decides what is drawn.

        Raises:
            DatasetDMError: a file is missing or broken, or the image size does not fit.
        """
        diffusers_logging.disable_progress_bar()  # bars of a second each, amid what the stages say
        transformers_logging.disable_progress_bar()
        try:
            pipeline = StableDiffusionPipeline.from_pretrained(
                folder,
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
                dtype=getattr(torch, settings.dtype),
                use_safetensors=True,
                low_cpu_mem_usage=False,
                local_files_only=True,
            )
        except Exception as error:  # the readers of weights and configurations have no common base for damaged files
            reason = " ".join(str(error).split())
            raise DatasetDMError(
                f"The diffusion model in {folder} cannot be loaded ({reason}). {how_to_get(settings.path)}"
            ) from None
        return cls(
            pipeline,
            image_size=settings.image_size,
            device=choose_device(settings.device),
            fingerprint=fingerprint_of(folder, f"{settings.revision} {settings.image_size} {settings.dtype}"),
            source=(settings.path, settings.revision),
        )

    def provenance(self, scheduler: str) -> dict[str, Any]:
        """See `Backbone.provenance`: model, precision, sampler and versions; docs/reproduce.md draws with it."""
        sampler = make_scheduler(scheduler, self.scheduler)
        path, revision = self.source
        return {
            **super().provenance(scheduler),
            "model_path": path,
            "model_revision": revision,
            "model_dtype": str(self.unet.dtype).removeprefix("torch."),
            "scheduler_class": type(sampler).__name__,
            "scheduler_config": sampler.to_json_string(),
            **{f"{name}_version": version(name) for name in ("diffusers", "torch", "transformers")},
        }

    @torch.no_grad()
    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """See `Backbone.encode`."""
        encoded = self.vae.encode(images.to(self.device, self.vae.dtype))
        # AutoencoderKL gives a distribution, AutoencoderTiny the latents themselves.
        latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        return (latents - self._shift) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See `Backbone.decode`."""
        latents = latents.to(self.device, self.vae.dtype) / self.vae.config.scaling_factor + self._shift
        images = self.vae.decode(latents).sample
        # In the steps of diffusers' own postprocessing, which round to the same numbers.
        return images.div(2).add(0.5).clamp(0, 1).float().mul(255).round().byte().permute(0, 2, 3, 1).cpu()

    @torch.no_grad()
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
        """See `Backbone.generate`; words that the tokenizer does not know are reported in the log.

        The computation is that of `StableDiffusionPipeline`, down to the order of its sums: a prompt drawn by itself
        gives the pixels that the pipeline gives (docs/reproduce.md).
        """
        if unknown := unknown_words(self.tokenizer, prompts):
            logger.warning("The model does not know these words of the prompts: %s", ", ".join(unknown))
        sampler = make_scheduler(scheduler, self.scheduler)
        sampler.set_timesteps(num_inference_steps, device=self.device)
        prompt_embeds = self._embed(prompts)
        guided = guidance_scale != 1
        both_embeds = torch.cat([self._embed([""] * len(prompts)), prompt_embeds]) if guided else prompt_embeds
        latents = self._noise(generators) * sampler.init_noise_sigma
        # Samplers that add noise at every step take it from the image's own generator.
        takes_noise = "generator" in inspect.signature(sampler.step).parameters
        noise = {"generator": list(generators)} if takes_noise else {}
        features = None
        for k, timestep in enumerate(sampler.timesteps):
            scaled = sampler.scale_model_input(latents, timestep)
            if words is not None and k == len(sampler.timesteps) - 1:
                with capture(self.unet, word_token_weights(self.tokenizer, prompts, words)) as captured:
                    self._predict(scaled, timestep, prompt_embeds)
                features = captured.features(self.image_size)
            noise_pred = self._predict(torch.cat([scaled] * 2) if guided else scaled, timestep, both_embeds)
            if guided:
                unconditional, conditional = noise_pred.chunk(2)
                noise_pred = unconditional + guidance_scale * (conditional - unconditional)
                noise_pred = rescale_noise_cfg(noise_pred, conditional, guidance_rescale)
            latents = sampler.step(noise_pred, timestep, latents, **noise, return_dict=False)[0]
        return Generated(latents=latents, features=features)

    @torch.no_grad()
    def extract(
        self,
        latents: torch.Tensor,
        prompts: Sequence[str],
        *,
        timestep: int | Sequence[int],
        words: Sequence[str],
        generators: Sequence[torch.Generator],
    ) -> DiffusionFeatures:
        """See `Backbone.extract`."""
        timesteps = torch.tensor(
            [timestep] * len(prompts) if isinstance(timestep, int) else list(timestep), device=self.device
        )
        # In float32, as the share of the latents at the first timesteps is 1 in bfloat16, which would leave no noise.
        noisy = self._noising.add_noise(latents.to(self.device).float(), self._noise(generators).float(), timesteps)
        noisy = noisy.to(self.unet.dtype)
        prompt_embeds = self._embed(prompts)
        with capture(self.unet, word_token_weights(self.tokenizer, prompts, words)) as captured:
            self._predict(noisy, timesteps, prompt_embeds)
        return captured.features(self.image_size)

    @torch.no_grad()
    def embed_words(self, words: Sequence[str]) -> torch.Tensor:
        """See `Backbone.embed_words`: the mean of the last states of the word's own tokens in "a photo of a <word>".

        A text encoder of this family reads from left to right, so that a token's state depends on what precedes it. A
        word on its own is no caption that the model was trained on; in the plain prompt it stands where captions have
        it, and what differs from one embedding to another is the word alone.
        """
        if unknown := unknown_words(self.tokenizer, words):
            logger.warning(
                "The model does not know these words of the class names, which it cannot tell apart: %s",
                ", ".join(unknown),
            )
        rows = [self._embed_word(word) for word in words]
        return torch.stack(rows) if rows else torch.zeros(0, self.text_encoder.config.hidden_size)

    def _embed_word(self, word: str) -> torch.Tensor:
        prompt = f"a photo of a {word}"
        (weights,) = word_token_weights(self.tokenizer, [prompt], [word])[0]
        if not word.strip() or not weights.any():
            raise DatasetDMError(f"'{word}' cannot be asked for by name: the tokenizer finds no word in it.")
        return weights @ self._embed([prompt])[0].float().cpu()

    @property
    def _shift(self) -> float:
        return self.vae.config.shift_factor or 0.0

    def _embed(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text embeddings, B x T x D; what exceeds the text encoder's length is cut off, as in diffusers."""
        length = self.tokenizer.model_max_length
        encoded = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        embeds: torch.Tensor = self.text_encoder(encoded.input_ids.to(self.device))[0]
        return embeds

    def _noise(self, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Standard normal latents, each image's from its own generator."""
        noise = torch.stack([torch.randn(self.latent_shape, generator=generator) for generator in generators])
        return noise.to(self.device, self.unet.dtype)

    def _predict(self, latents: torch.Tensor, timestep: torch.Tensor, prompt_embeds: torch.Tensor) -> torch.Tensor:
        prediction: torch.Tensor = self.unet(latents, timestep, prompt_embeds, return_dict=False)[0]
        return prediction


def make_scheduler(name: str, own: Any) -> Any:
    """A fresh sampler with the noise schedule and the kind of prediction of the model's own scheduler.

    Raises:
        DatasetDMError: for an unknown name, or PNDM with a model that starts from pure noise, where it divides by zero.
    """
    if name == "model":
        return type(own).from_config(own.config)
    if name == "ddim":
        return DDIMScheduler.from_config(own.config, clip_sample=False)
    if name == "dpmsolver++":
        return DPMSolverMultistepScheduler.from_config(own.config, algorithm_type="dpmsolver++", solver_order=2)
    if name == "pndm":
        if own.config.get("rescale_betas_zero_snr"):
            raise DatasetDMError(
                "PNDM cannot start from the zero terminal SNR of this model: "
                "set synthesis.scheduler in params.yaml to dpmsolver++ or ddim."
            )
        return PNDMScheduler.from_config(own.config, skip_prk_steps=True)
    raise DatasetDMError(f"synthesis.scheduler '{name}' is unknown; it is one of dpmsolver++, ddim, pndm, model.")

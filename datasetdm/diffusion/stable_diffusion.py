"""Stable Diffusion 1.x and every model in its folder format, including the embedded one."""

import logging
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, PNDMScheduler, StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import retrieve_latents
from diffusers.utils import logging as diffusers_logging
from diffusers.utils.torch_utils import randn_tensor
from transformers.utils import logging as transformers_logging

from datasetdm import config
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.capture import capture, default_layers, last_input, measure_levels
from datasetdm.diffusion.features import DiffusionFeatures, Generated
from datasetdm.diffusion.weights import fingerprint_of, how_to_get
from datasetdm.diffusion.words import unknown_words, word_token_weights
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mentions import Word
from datasetdm.utils.devices import choose_device

logger = logging.getLogger(__name__)


class StableDiffusionBackbone(Backbone):
    """A frozen `StableDiffusionPipeline` that draws, and whose U-Net is read while it runs.

    One instance must not be used from two threads at once: `extract` and `generate` hook into its U-Net.
    """

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        *,
        image_size: int,
        device: torch.device,
        fingerprint: str,
        source: tuple[str, str | None] = ("", None),
        layers: Sequence[str] | None = None,
    ) -> None:
        """Put the pipeline on the device and measure its features.

        Args:
            pipeline: the model.
            image_size: side of the images in pixels.
            device: where it runs.
            fingerprint: see `Backbone.fingerprint`.
            source: folder or hub name of the model, and its revision.
            layers: names of the U-Net's modules whose outputs are the features; `capture.default_layers` if None.

        Raises:
            DatasetDMError: the image size does not fit the model, or the U-Net has no module of such a name.
        """
        self.pipeline, self.source = pipeline, source
        self.vae = pipeline.vae.to(device).requires_grad_(False).eval()
        self.text_encoder = pipeline.text_encoder.to(device).requires_grad_(False).eval()
        self.unet = pipeline.unet.to(device).requires_grad_(False).eval()
        self.tokenizer = pipeline.tokenizer
        self.scheduler = pipeline.scheduler
        # The model's own sampler may scale noise differently (Euler's do) than in the U-Net's training.
        self._noising = DDIMScheduler.from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
        self.device = device
        self.fingerprint = fingerprint
        self.layers = default_layers(self.unet) if layers is None else tuple(layers)
        self._check_layers()
        latent_stride = pipeline.vae_scale_factor
        self.feature_info = measure_levels(self.unet, self.layers, latent_stride, self.tokenizer.model_max_length)
        coarsest = self.feature_info[0].stride
        if image_size % coarsest:
            raise DatasetDMError(
                f"backbone.image_size is {image_size} in params.yaml; this model needs a multiple of {coarsest}."
            )
        side = image_size // latent_stride
        self.image_size = image_size
        self.latent_shape = (self.unet.config.in_channels, side, side)

    @classmethod
    def load(cls, folder: Path, settings: config.Backbone, device: str = "auto") -> "StableDiffusionBackbone":
        """The model in `folder`; the safety checker is not loaded: the prompts decide what is drawn.

        Raises:
            DatasetDMError: a file is missing or broken, or the image size does not fit.
        """
        _silence_libraries()
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
            device=choose_device(device),
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
        latents = retrieve_latents(encoded, sample_mode="argmax")
        return (latents - self._shift) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See `Backbone.decode`."""
        latents = latents.to(self.device, self.vae.dtype) / self.vae.config.scaling_factor + self._shift
        images = self.vae.decode(latents).sample
        # The steps of diffusers' own postprocessing, which round to the same numbers, without a detour through PIL.
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
        words: Sequence[Word] | None = None,
    ) -> Generated:
        """See `Backbone.generate`; words that the tokenizer does not know are reported in the log."""
        if unknown := unknown_words(self.tokenizer, prompts):
            logger.warning("The model does not know these words of the prompts: %s", ", ".join(unknown))
        self.pipeline.scheduler = make_scheduler(scheduler, self.scheduler)
        with last_input(self.unet) as kept:
            latents = self.pipeline(
                list(prompts),
                height=self.image_size,
                width=self.image_size,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                guidance_rescale=guidance_rescale,
                generator=list(generators),
                output_type="latent",
            ).images
        if words is None:
            return Generated(latents=latents)
        # One more pass: capturing while the image is drawn would change its last bits, as attention is not fused then.
        scaled, timestep = kept
        features = self._read(scaled[: len(prompts)], timestep, prompts, words)
        return Generated(latents=latents, features=features)

    @torch.no_grad()
    def extract(
        self,
        latents: torch.Tensor,
        prompts: Sequence[str],
        *,
        timestep: int | Sequence[int],
        words: Sequence[Word],
        generators: Sequence[torch.Generator],
    ) -> DiffusionFeatures:
        """See `Backbone.extract`."""
        timesteps = torch.tensor(
            [timestep] * len(prompts) if isinstance(timestep, int) else list(timestep), device=self.device
        )
        shape = (len(prompts), *self.latent_shape)
        noise = randn_tensor(shape, generator=list(generators), device=self.device, dtype=self.unet.dtype)
        # In float32: in bfloat16 the share of the latents at the first timesteps is 1, which would leave no noise.
        noisy = self._noising.add_noise(latents.to(self.device).float(), noise.float(), timesteps)
        return self._read(noisy.to(self.unet.dtype), timesteps, prompts, words)

    @torch.no_grad()
    def embed_words(self, words: Sequence[str]) -> torch.Tensor:
        """See `Backbone.embed_words`: the mean of the last states of the word's own tokens in "a photo of a <word>".

        A text encoder of this family reads from left to right, so a token's state depends on what precedes it. The
        model never saw a caption of a single word. In the plain prompt the word stands where captions have it, and
        embeddings differ in nothing but the word.
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
        (weights,) = word_token_weights(self.tokenizer, [prompt], [Word(word)])[0]
        if not word.strip() or not weights.any():
            raise DatasetDMError(f"'{word}' cannot be found by name: the tokenizer finds no word in it.")
        return weights @ self._embed([prompt])[0].float().cpu()

    def _read(
        self, latents: torch.Tensor, timestep: torch.Tensor, prompts: Sequence[str], words: Sequence[Word]
    ) -> DiffusionFeatures:
        """Features of one conditional pass over noisy latents, scaled as the U-Net expects them."""
        with capture(self.unet, self.layers, word_token_weights(self.tokenizer, prompts, words)) as captured:
            self.unet(latents, timestep, self._embed(prompts))
        return captured.features(self.image_size)

    def _embed(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text embeddings, B x T x D; diffusers cuts off what exceeds the text encoder's length."""
        embeds: torch.Tensor = self.pipeline.encode_prompt(list(prompts), self.device, 1, False)[0]
        return embeds

    @property
    def _shift(self) -> float:
        return self.vae.config.shift_factor or 0.0

    def _check_layers(self) -> None:
        known = dict(self.unet.named_modules())
        if missing := [name for name in self.layers if name not in known]:
            raise DatasetDMError(
                f"The U-Net of {self.source[0]} has no modules {', '.join(missing)}; by default these are read: "
                f"{', '.join(default_layers(self.unet))}."
            )


def _silence_libraries() -> None:
    """Leave out what would clutter the lines that the stages print."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    # The captions of mixed views are often too long, and diffusers would print a line for each batch.
    logging.getLogger(StableDiffusionPipeline.__module__).addFilter(_is_no_cut_prompt)


def _is_no_cut_prompt(record: logging.LogRecord) -> bool:
    return "truncated because CLIP" not in record.getMessage()


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
                "set synthesis.sampler.scheduler in params.yaml to dpmsolver++ or ddim."
            )
        return PNDMScheduler.from_config(own.config, skip_prk_steps=True)
    raise DatasetDMError(
        f"synthesis.sampler.scheduler '{name}' is unknown; it is one of dpmsolver++, ddim, pndm, model."
    )

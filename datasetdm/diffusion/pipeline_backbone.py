"""What all families share: a frozen pipeline of diffusers draws, and its denoising network is read while it runs."""

import inspect
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import retrieve_latents
from diffusers.utils.torch_utils import randn_tensor
from torch import nn

from datasetdm import config
from datasetdm.diffusion.backbone import NoiseLevel
from datasetdm.diffusion.capture import Reading, capture, last_input
from datasetdm.diffusion.family import Family
from datasetdm.diffusion.features import DiffusionFeatures, FeatureLevel, Generated
from datasetdm.diffusion.ip_adapter import check_ip_adapter, embed_references
from datasetdm.diffusion.memory import check_fits, count_parameters, explained
from datasetdm.diffusion.noise import noise_of
from datasetdm.diffusion.pretrained import check_text_encoders, load_pipeline
from datasetdm.diffusion.samplers import make_scheduler
from datasetdm.diffusion.weights import model_fingerprint
from datasetdm.diffusion.words import unknown_words, word_token_weights
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mentions import Word
from datasetdm.utils.devices import choose_device

logger = logging.getLogger(__name__)


class PipelineBackbone(Family):
    """A pipeline of any family, which draws and is read.

    One instance must not be used from two threads at once: `extract` and `generate` hook into its network.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        image_size: int,
        device: torch.device,
        fingerprint: str,
        source: tuple[str, str | None] = ("", None),
        layers: Mapping[str, int | None] | Sequence[str] | None = None,
        attention_layers: Sequence[str] | None = None,
        cpu_offload: bool = False,
        loras: Sequence[config.Lora] = (),
        ip_adapter: config.IPAdapter | None = None,
    ) -> None:
        """Put the pipeline on the device and measure its features.

        Args:
            pipeline: the model.
            image_size: side of the images in pixels.
            device: where it runs.
            fingerprint: see `Backbone.fingerprint`.
            source: folder or hub name of the model, and its revision.
            layers: names of the network's modules whose outputs are the features, with the stride that each is brought
                to (None: its own); `default_layers` if None.
            attention_layers: names of the attention layers that are read; `default_attention` if None.
            cpu_offload: keep only the part that is at work on the device.
            loras: those that the pipeline's weights have in them.
            ip_adapter: the one that the pipeline has.

        Raises:
            DatasetDMError: the image size does not fit the model, or the network has no module of such a name.
        """
        for part in pipeline.components.values():
            if isinstance(part, nn.Module):
                part.to("cpu" if cpu_offload else device).requires_grad_(False).eval()
        if cpu_offload:
            pipeline.enable_model_cpu_offload(device=device)
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline, self.source, self.device, self.fingerprint = pipeline, source, device, fingerprint
        self._loras, self._ip_adapter, self._cpu_offload = loras, ip_adapter, cpu_offload
        self.references = embed_references(pipeline, ip_adapter, device) if ip_adapter else None
        self.denoiser = getattr(pipeline, self.denoiser_name)
        self.vae, self.scheduler = pipeline.vae, pipeline.scheduler
        self.noise = noise_of(pipeline.scheduler)
        chosen = self.default_layers() if layers is None else layers
        self.reading = Reading(
            layers=chosen if isinstance(chosen, Mapping) else dict.fromkeys(chosen),
            attention=self.default_attention() if attention_layers is None else tuple(attention_layers),
            as_map=self.as_map,
            watch=self.watch,
            self_attention=self.default_self_attention(),
        )
        self._check_names()
        self.image_size = image_size
        self.feature_info = self._measure()
        coarsest = self.feature_info[0].stride
        if image_size % coarsest:
            raise DatasetDMError(
                f"backbone.image_size is {image_size} in params.yaml; this model needs a multiple of {coarsest}."
            )
        side = image_size // pipeline.vae_scale_factor
        self.latent_shape = (self.vae.config.latent_channels, side, side)

    @classmethod
    def load(cls, folder: Path, settings: config.Backbone, device: str = "auto") -> Self:
        """The model in `folder`.

        Raises:
            DatasetDMError: a file is missing or broken, the model does not fit into memory, an adapter does not
                fit the model, or the image size does not.
        """
        where = choose_device(device)
        check_ip_adapter(cls.pipeline_class, settings)
        check_text_encoders(folder, cls.text_encoders, settings)
        left_out = [part for part, value in cls.load_options.items() if value is None]
        check_fits(count_parameters(folder, left_out), settings, where)
        return cls(
            load_pipeline(cls.pipeline_class, folder, settings, cls.load_options),
            image_size=settings.image_size,
            device=where,
            fingerprint=model_fingerprint(folder, settings),
            source=(settings.path, settings.revision),
            layers=None if settings.layers is None else dict(settings.layers),
            attention_layers=settings.attention_layers,
            cpu_offload=settings.cpu_offload,
            loras=settings.loras,
            ip_adapter=settings.ip_adapter,
        )

    def provenance(self, scheduler: str) -> dict[str, Any]:
        """See `Backbone.provenance`: model, precision, sampler and versions; docs/reproduce.md draws with it."""
        sampler = make_scheduler(scheduler, self.scheduler)
        path, revision = self.source
        further = {
            "pipeline_options": self.call_options(),
            "loras": [lora.model_dump() for lora in self._loras],
            "ip_adapter": self._ip_adapter.model_dump(mode="json") if self._ip_adapter else None,
        }
        return {
            **super().provenance(scheduler),
            "model_path": path,
            "model_revision": revision,
            "model_dtype": str(self.denoiser.dtype).removeprefix("torch."),
            "scheduler_class": type(sampler).__name__,
            "scheduler_config": sampler.to_json_string(),
            **{f"{name}_version": version(name) for name in ("diffusers", "torch", "transformers")},
            **{name: json.dumps(value) for name, value in further.items() if value},
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
        with self.explained("synthesis.batch_size", len(latents)):
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
        with last_input(self.denoiser) as kept, self.explained("synthesis.batch_size", len(prompts)):
            latents = self.pipeline(
                list(prompts),
                height=self.image_size,
                width=self.image_size,
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                generator=list(generators),
                output_type="latent",
                **self._rescaling(guidance_rescale),
                **self._reference_options(guidance_scale),
                **self.call_options(),
            ).images
        if words is None:
            return Generated(latents=self.unpack(latents))
        # One more pass: capturing while the image is drawn would change its last bits, as attention is not fused then.
        scaled, timestep = kept
        batch = len(prompts)  # with classifier-free guidance the network was given each image twice
        features = self._read(
            self.unpack(scaled[:batch]), timestep[:batch] if timestep.ndim else timestep, prompts, words, guidance_scale
        )
        return Generated(latents=self.unpack(latents), features=features)

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
        """See `Backbone.extract`."""
        levels = [timestep] * len(prompts) if isinstance(timestep, int | float) else timestep
        timesteps = self.noise.timesteps(levels).to(self.device)
        shape = (len(prompts), *self.latent_shape)
        noise = randn_tensor(shape, generator=list(generators), device=self.device, dtype=self.denoiser.dtype)
        # In float32: in bfloat16 the share of the latents at the first timesteps is 1, which would leave no noise.
        noisy = self.noise.add(latents.to(self.device).float(), noise.float(), timesteps)
        noisy = noisy.to(self.denoiser.dtype)
        return self._read(noisy, self._given(timesteps), prompts, words, self_attention=self_attention)

    def denoising_error(
        self, latents: torch.Tensor, prompts: Sequence[str], *, timesteps: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        """What the network's training minimises: the mean squared error of its prediction, float32, B.

        Args:
            latents: B x C x h x w.
            prompts: B texts.
            timesteps: B, see `Noise.timesteps`.
            noise: as the latents.
        """
        latents, noise, timesteps = (values.to(self.device) for values in (latents.float(), noise, timesteps))
        noisy = self.noise.add(latents, noise, timesteps).to(self.denoiser.dtype)
        with torch.no_grad():
            condition = self.condition(prompts)
        predicted = self.denoise(noisy, self._given(timesteps), condition)[:, : latents.shape[1]]
        target = self.noise.target(latents, noise, timesteps)
        return (predicted.float() - target).square().mean(dim=(1, 2, 3))

    @torch.no_grad()
    def embed_words(self, words: Sequence[str]) -> torch.Tensor:
        """See `Backbone.embed_words`: the mean of the last states of the word's own tokens in "a photo of a <word>".

        The text encoders of most families read from left to right, so a token's state depends on what precedes it. The
        model never saw a caption of a single word. In the plain prompt the word stands where captions have it, and
        embeddings differ in nothing but the word.
        """
        if unknown := unknown_words(self.tokenizer, words):
            logger.warning(
                "The model does not know these words of the class names, which it cannot tell apart: %s",
                ", ".join(unknown),
            )
        rows = [self._embed_word(word) for word in words]
        return torch.stack(rows) if rows else self._embed([""])[:0, 0].float().cpu()

    def explained(self, lower: str, batch_size: int) -> AbstractContextManager[None]:
        """See `memory.explained`, for this model."""
        return explained(lower, batch_size=batch_size, dtype=self.denoiser.dtype, cpu_offload=self._cpu_offload)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer whose tokens the network sees."""
        return next(part.tokenizer for part in self.prompt_tokens() if part.tokenizer is not None)

    def _embed_word(self, word: str) -> torch.Tensor:
        prompt = f"a photo of a {word}"
        (weights,) = word_token_weights(self.prompt_tokens(), [prompt], [Word(word)])[0]
        if not word.strip() or not weights.any():
            raise DatasetDMError(f"'{word}' cannot be found by name: the tokenizer finds no word in it.")
        return weights @ self._embed([prompt])[0].float().cpu()

    def _embed(self, prompts: Sequence[str]) -> torch.Tensor:
        """Text embeddings, B x T x D; diffusers cuts off what exceeds the text encoder's length."""
        embeds: torch.Tensor = self.condition(prompts)["encoder_hidden_states"]
        return embeds

    def _read(
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        prompts: Sequence[str],
        words: Sequence[Word],
        guidance_scale: float = 1.0,
        image_size: int | None = None,
        self_attention: bool = False,
    ) -> DiffusionFeatures:
        """Features of one conditional pass over noisy latents, scaled as the network expects them."""
        weights = word_token_weights(self.prompt_tokens(), prompts, words)
        with (
            capture(
                self.denoiser, self.reading, image_size or self.image_size, weights, self_attention=self_attention
            ) as captured,
            self.explained("synthesis.batch_size or decoder.batch_size", len(latents)),
        ):
            self.denoise(latents, timestep, self.condition(prompts, guidance_scale))
        self.pipeline.maybe_free_model_hooks()  # with `cpu_offload`; otherwise there is nothing to free
        return captured.features()

    @torch.no_grad()
    def _measure(self) -> tuple[FeatureLevel, ...]:
        """The levels that `_read` yields, lowest resolution first, from a dry pass on the smallest possible latents."""
        stride = self.pipeline.vae_scale_factor
        side = max([self.smallest_side, *(wanted // stride for wanted in self.reading.layers.values() if wanted)])
        latents = torch.zeros(
            1, self.vae.config.latent_channels, side, side, dtype=self.denoiser.dtype, device=self.device
        )
        timestep = self.noise.timesteps([0]).to(self.device)
        features = self._read(latents, timestep, [""], [Word("dog")], image_size=side * stride)
        depths = {stride: maps.shape[2] for stride, maps in features.attention.items()}
        return tuple(
            FeatureLevel(stride=stride, channels=maps.shape[1], attention_layers=depths.get(stride, 0))
            for stride, maps in features.maps.items()
        )

    def _given(self, timesteps: torch.Tensor) -> torch.Tensor:
        """Timesteps as the network is given them."""
        return timesteps if self.timestep_unit == 1 else timesteps / self.timestep_unit

    def _rescaling(self, guidance_rescale: float) -> dict[str, float]:
        if "guidance_rescale" in inspect.signature(self.pipeline.__call__).parameters:
            return {"guidance_rescale": guidance_rescale}
        if guidance_rescale:
            raise DatasetDMError(
                f"{type(self.pipeline).__name__} cannot rescale its guidance: remove "
                "synthesis.sampler.guidance_rescale in params.yaml."
            )
        return {}

    def _reference_options(self, guidance_scale: float) -> dict[str, Any]:
        """The reference images as the pipeline's call takes them: with guidance, those of no image come first."""
        if self.references is None:
            return {}
        guided = guidance_scale > 1 and self.denoiser.config.time_cond_proj_dim is None
        return {"ip_adapter_image_embeds": self.references if guided else [part[1:] for part in self.references]}

    @property
    def _shift(self) -> float:
        return self.vae.config.shift_factor or 0.0

    def _check_names(self) -> None:
        known = dict(self.denoiser.named_modules())
        processors = self.denoiser.attn_processors
        missing = [name for name in self.reading.layers if name not in known]
        missing += [name for name in self.reading.attention if f"{name}.processor" not in processors]
        if missing:
            defaults = ", ".join(name or '""' for name in self.default_layers())
            raise DatasetDMError(
                f"The {self.denoiser_name} of {self.source[0]} has no modules {', '.join(missing)}; by default these "
                f"are read: {defaults}, and the attention of {', '.join(self.default_attention())}."
            )

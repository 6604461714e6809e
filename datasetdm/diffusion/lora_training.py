"""Train a LoRA on images of a domain, with the loss that the model itself was trained with.

As in diffusers' scripts for DreamBooth (Ruiz et al., arXiv 2208.12242): the denoising network learns low-rank changes
of its attention, all else stays frozen, and images that the model drew before may keep it from forgetting.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from datasetdm import config
from datasetdm.diffusion.adapters import LORA_FILE, check_takes_loras
from datasetdm.diffusion.pipeline_backbone import PipelineBackbone
from datasetdm.errors import DatasetDMError
from datasetdm.utils.checkpoints import read_checkpoint, write_checkpoint
from datasetdm.utils.files import write_text
from datasetdm.utils.progress import Progress, say
from datasetdm.utils.seeding import derived_seed

LOG_EVERY = 20  # steps per row of the loss curve
SAVE_EVERY = 100  # steps between two checkpoints
GRADIENT_CLIP = 1.0  # largest norm of the gradient of the LoRA
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of noise, at which held-out images are denoised


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Images with their captions.

    Attributes:
        latents: N x C x h x w, float32 on the CPU, as `Backbone.encode` and `generate` return them.
        captions: N texts.
    """

    latents: torch.Tensor
    captions: Sequence[str]

    def __len__(self) -> int:
        return len(self.captions)


class LoraTraining:
    """A LoRA under way in the network of a backbone, which is of no use for other things meanwhile.

    Every step has its own seed, so a training that was interrupted and resumed ends with the same weights as one that
    was not.

    Args:
        backbone: the model; its network gets the LoRA's layers.
        settings: of the training.
        identity: of all that the training depends on; a checkpoint of another is not used.

    Raises:
        DatasetDMError: the pipeline takes no LoRA, or one of `targets` is the name of no layer.
    """

    def __init__(self, backbone: PipelineBackbone, settings: config.Adaptation, identity: str) -> None:
        check_takes_loras(type(backbone.pipeline), "adapt")
        self.backbone, self.settings, self.identity = backbone, settings, identity
        self.network = backbone.denoiser
        with torch.random.fork_rng():
            torch.manual_seed(derived_seed(settings.seed, 5))
            _add_layers(self.network, settings)
        from diffusers.training_utils import cast_training_params  # seconds to import, and few train a LoRA

        cast_training_params(self.network)  # steps so small are lost in bfloat16
        self.parameters = [one for one in self.network.parameters() if one.requires_grad]
        if settings.gradient_checkpointing:
            self.network.enable_gradient_checkpointing()
        self.optimizer = torch.optim.AdamW(self.parameters, lr=settings.learning_rate)
        self.step = 0
        self.rows: list[dict[str, float]] = []

    def run(self, domain: Pictures, prior: Pictures | None, checkpoint: Path | None = None) -> None:
        """Train to the end.

        Args:
            domain: what is learnt.
            prior: images that the model drew before.
            checkpoint: written now and then; training continues from one that is found there.
        """
        if checkpoint is not None:
            self._resume(checkpoint)
        pace, sums = Progress(self.settings.steps, "steps", done=self.step), []
        while self.step < self.settings.steps:
            sums.append(self._one_step(domain, prior))
            if self.step % LOG_EVERY == 0 or self.step == self.settings.steps:
                mean = sum(sums) / len(sums)
                self.rows.append({"iteration": self.step, "loss": mean})
                pace.update(self.step, f"loss {mean:.4f}")
                sums = []
            if checkpoint is not None and self.step % SAVE_EVERY == 0:
                self._save(checkpoint)

    def save(self, folder: Path) -> None:
        """Write the LoRA in diffusers' own format, and the curve of its loss as `curves.csv`."""
        name = f"{self.backbone.denoiser_name}_lora_layers"
        self.backbone.pipeline.save_lora_weights(folder, weight_name=LORA_FILE, **{name: self._weights()})
        write_text(folder / "curves.csv", pd.DataFrame(self.rows).to_csv(index=False, lineterminator="\n"))

    @torch.no_grad()
    def error(self, pictures: Pictures, *, with_lora: bool = True) -> float:
        """The mean error of the model on pictures at `LEVELS` of noise, the same noise at every call; NaN without any.

        Args:
            pictures: any.
            with_lora: whether the LoRA is on.
        """
        if not with_lora:
            self.network.disable_adapters()
        errors = [torch.tensor(math.nan)] if not len(pictures) else []
        timesteps = self.backbone.noise.timesteps(LEVELS)
        for number, (latents, caption) in enumerate(zip(pictures.latents, pictures.captions, strict=True)):
            generator = torch.Generator().manual_seed(derived_seed(self.settings.seed, 7, number))
            repeated = latents.expand(len(LEVELS), *latents.shape)
            noise = torch.randn(repeated.shape, generator=generator)
            errors.append(
                self.backbone.denoising_error(
                    repeated, [caption] * len(LEVELS), timesteps=timesteps, noise=noise
                ).mean()
            )
        self.network.enable_adapters()
        return float(torch.stack(errors).mean())

    def _one_step(self, domain: Pictures, prior: Pictures | None) -> float:
        generator = torch.Generator().manual_seed(derived_seed(self.settings.seed, 6, self.step))
        lower = "adapt.batch_size, or set gradient_checkpointing there"
        with self.backbone.explained(lower, self.settings.batch_size):
            loss = self._error_of_some(domain, generator)
            if prior is not None:
                loss = loss + self.settings.prior_weight * self._error_of_some(prior, generator)
            if not torch.isfinite(loss):
                raise DatasetDMError(
                    f"The loss of the LoRA is {loss.item()} at step {self.step + 1}: lower "
                    "adapt.learning_rate in params.yaml, or set backbone.dtype to float32 or bfloat16."
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, GRADIENT_CLIP)
            self.optimizer.step()
        self.step += 1
        return loss.item()

    def _error_of_some(self, pictures: Pictures, generator: torch.Generator) -> torch.Tensor:
        chosen = torch.randint(len(pictures), (self.settings.batch_size,), generator=generator)
        latents = pictures.latents[chosen]
        return self.backbone.denoising_error(
            latents,
            [pictures.captions[number] for number in chosen.tolist()],
            timesteps=self.backbone.noise.sample(len(chosen), generator),
            noise=torch.randn(latents.shape, generator=generator),
        ).mean()

    def _weights(self) -> dict[str, torch.Tensor]:
        from peft.utils import get_peft_model_state_dict

        weights: dict[str, torch.Tensor] = get_peft_model_state_dict(self.network)
        return {name: value.detach().cpu().contiguous() for name, value in weights.items()}

    def _save(self, checkpoint: Path) -> None:
        content = {
            "identity": self.identity,
            "parameters": [one.detach() for one in self.parameters],
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "rows": self.rows,
        }
        write_checkpoint(checkpoint, content)

    @torch.no_grad()
    def _resume(self, checkpoint: Path) -> None:
        content = read_checkpoint(checkpoint)
        if content is None or content.get("identity") != self.identity:
            return
        for own, kept in zip(self.parameters, content["parameters"], strict=True):
            own.copy_(kept)
        self.optimizer.load_state_dict(content["optimizer"])
        self.step, self.rows = content["step"], content["rows"]
        say(f"continues at step {self.step}")


def _add_layers(network: Any, settings: config.Adaptation) -> None:
    """Add a LoRA's layers next to the linear layers and convolutions whose names end with one of `targets`."""
    from peft import LoraConfig  # takes a second

    layers = [name for name, module in network.named_modules() if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)]
    found = {end: [name for name in layers if f".{name}".endswith(f".{end}")] for end in settings.targets}
    if unknown := [end for end, names in found.items() if not names]:
        raise DatasetDMError(
            f"No linear layer or convolution of the {type(network).__name__} has a name that ends with "
            f"{' or '.join(unknown)}: correct adapt.targets in params.yaml. Its names end with "
            f"{', '.join(sorted({_end(name) for name in layers}))}."
        )
    names = sorted({name for its in found.values() for name in its})
    network.add_adapter(LoraConfig(r=settings.rank, lora_alpha=settings.rank, target_modules=names))


def _end(name: str) -> str:
    """The part of a layer's name that many layers share: `to_q`, and `ff.net.2` rather than `2`."""
    parts = name.split(".")
    start = len(parts) - 1
    while start > 0 and parts[start].isdigit():
        start -= 1
    return ".".join(parts[start:])

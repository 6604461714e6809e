"""What a family of diffusion models says about itself: what its network is given, and what is read off it."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from datasetdm.diffusion.attention import Report
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.words import PromptTokens, TextInput


class Family(Backbone):
    """A frozen text-to-image pipeline of diffusers, seen from the side that differs between families.

    `UNetBackbone` and `TransformerBackbone` answer what depends on the kind of network, the files in `families/` the
    rest.

    Attributes:
        pipeline_class: the family's pipeline.
        denoiser_name: which of its parts is the denoising network.
        text_encoders: the parts that a prompt passes through, without which the family cannot work.
        load_options: arguments of `from_pretrained`.
        timestep_unit: the network is given timesteps divided by this.
        pipeline: the model; `PipelineBackbone` loads it.
        denoiser: its denoising network.
        references: what it sees of the reference images of an IP-Adapter, see `ip_adapter.embed_references`; None
            without one.
    """

    pipeline_class: ClassVar[Any]
    denoiser_name: ClassVar[str]
    text_encoders: ClassVar[tuple[str, ...]] = ("text_encoder",)
    load_options: ClassVar[Mapping[str, Any]] = {}
    timestep_unit: ClassVar[int] = 1

    pipeline: Any
    denoiser: Any
    references: list[torch.Tensor] | None

    @classmethod
    def text_inputs(cls, folder: Path) -> Sequence[TextInput]:
        """The text encoders that the pipeline in a folder reads prompts with."""
        return [TextInput(name.replace("text_encoder", "tokenizer")) for name in cls.text_encoders]

    @abstractmethod
    def condition(self, prompts: Sequence[str], guidance_scale: float = 1.0) -> dict[str, Any]:
        """What the network is given besides latents and timestep: among it `encoder_hidden_states`, B x T x D.

        Args:
            prompts: B texts.
            guidance_scale: for networks that take it as an input (distilled guidance); 1 is the plain prediction.
        """

    @abstractmethod
    def prompt_tokens(self) -> Sequence[PromptTokens]:
        """Where the T states of a prompt come from, in their order."""

    @abstractmethod
    def default_layers(self) -> Mapping[str, int | None]:
        """The modules that are read if the settings name none; see `Reading.layers`."""

    @abstractmethod
    def default_attention(self) -> tuple[str, ...]:
        """The attention layers that are read if the settings name none."""

    @abstractmethod
    def default_self_attention(self) -> tuple[str, ...]:
        """The layers in which places of the image attend to each other."""

    @abstractmethod
    def as_map(self, output: Any) -> torch.Tensor:
        """B x C x h x w of the output of one of the network's modules."""

    @abstractmethod
    def watch(self, own: Any, report: Report) -> Any:
        """See `Reading.watch`."""

    @property
    @abstractmethod
    def smallest_side(self) -> int:
        """Side of the smallest latents that the network takes."""

    def call_options(self) -> dict[str, Any]:
        """Arguments of the pipeline's call, besides those that all pipelines take."""
        return {}

    def denoise(self, latents: torch.Tensor, timestep: torch.Tensor, condition: Mapping[str, Any]) -> torch.Tensor:
        """The network's prediction for noisy latents, B x C x h x w, scaled as it expects them.

        The first C channels are the prediction; some networks predict its variance in C more.
        """
        return self.as_map(self.denoiser(latents, timestep=timestep, **condition))

    def unpack(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents as the pipeline has them, as B x C x h x w."""
        return latents

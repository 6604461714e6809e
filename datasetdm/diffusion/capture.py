"""Read features and attention to words off one pass of the denoising network, at the modules that are named."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from datasetdm.diffusion.attention import Report, WatchedSelfAttention
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.errors import DatasetDMError

Maps = dict[int, list[torch.Tensor]]  # stride -> what was captured there, in the order of the pass


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read off a network, and how.

    Attributes:
        layers: name of a module (`nn.Module.get_submodule`; "" is the network itself, whose output is its prediction)
            -> stride in image pixels that its output is brought to, None: it stays as it is.
        attention: names of the attention layers that are read.
        as_map: makes B x C x h x w of a module's output.
        watch: makes, of a layer's attention processor, one that reports what it attends to.
        self_attention: names of the layers in which places attend to each other, read only if asked for.
    """

    layers: Mapping[str, int | None]
    attention: tuple[str, ...]
    as_map: Callable[[Any], torch.Tensor]
    watch: Callable[[Any, Report], Any]
    self_attention: tuple[str, ...] = ()


@dataclass
class Captured:
    """What one pass left behind.

    Attributes:
        image_size: side of the images in pixels.
        token_weights: B x W x T, see `words.word_token_weights`.
        maps: outputs of the named modules, B x C x h x w each.
        attention: one per attention layer, B x W x h x w: mean over heads and over the word's tokens, scaled so that
            uniform attention is 1.
        self_attention: stride -> the sum over layers of the mean over heads, B x (h w) x (h w), and their number.
    """

    image_size: int
    token_weights: torch.Tensor
    maps: Maps = field(default_factory=dict)
    attention: Maps = field(default_factory=dict)
    self_attention: dict[int, tuple[torch.Tensor, int]] = field(default_factory=dict)

    def add_map(self, values: torch.Tensor, stride: int | None) -> None:
        """Add a module's output, B x C x h x w, averaged or interpolated to the stride if one is given."""
        if stride is not None:
            side = self.image_size // stride
            values = F.adaptive_avg_pool2d(values, side) if side < values.shape[-1] else _enlarged(values, side)
        self.maps.setdefault(self.image_size // values.shape[-1], []).append(values)

    def add_attention(self, probabilities: torch.Tensor, counting: torch.Tensor | None = None) -> None:
        """Add the probabilities of a layer, B x heads x (h w) x T; the map is square, as the images are.

        `counting` says how many of the T tokens the layer can attend to, B; None: all.
        """
        tokens = probabilities.shape[-1] if counting is None else counting[:, None, None]
        weights = self.token_weights.to(probabilities.device)
        by_word = torch.einsum("bpt,bwt->bwp", probabilities.float().mean(1), weights) * tokens
        side = math.isqrt(by_word.shape[-1])
        self.attention.setdefault(self.image_size // side, []).append(by_word.unflatten(-1, (side, side)))

    def add_self_attention(self, probabilities: torch.Tensor) -> None:
        """Add the probabilities of a layer, B x heads x (h w) x (h w)."""
        stride = self.image_size // math.isqrt(probabilities.shape[-1])
        total, count = self.self_attention.get(stride, (0.0, 0))
        self.self_attention[stride] = (total + probabilities.mean(1), count + 1)

    def features(self) -> DiffusionFeatures:
        """Maps of one stride joined along the channels, in float32, coarsest first."""
        return DiffusionFeatures(
            maps={stride: torch.cat(maps, 1).float() for stride, maps in sorted(self.maps.items(), reverse=True)},
            attention={stride: torch.stack(maps, 2) for stride, maps in sorted(self.attention.items(), reverse=True)},
            mentioned=self.token_weights.any(dim=-1),
            self_attention={stride: total / count for stride, (total, count) in sorted(self.self_attention.items())},
        )


@contextmanager
def capture(
    network: Any, reading: Reading, image_size: int, token_weights: torch.Tensor, *, self_attention: bool = False
) -> Iterator[Captured]:
    """Capture the pass that runs within the block; hooks and processors are removed at its end.

    Hooks and processors belong to the network, so one network must not be captured from two threads at once.

    Args:
        network: the denoising network.
        reading: what is read.
        image_size: side of the images in pixels.
        token_weights: which tokens belong to which word, B x W x T.
        self_attention: whether `Reading.self_attention` is read, too.

    Raises:
        DatasetDMError: self-attention is asked for, and no layer of it is small enough to be read.
    """
    captured = Captured(image_size, token_weights)

    def hook(stride: int | None) -> Callable[..., None]:
        return lambda _module, _inputs, output: captured.add_map(reading.as_map(output), stride)

    processors = network.attn_processors
    watched = {
        f"{name}.processor": reading.watch(processors[f"{name}.processor"], captured.add_attention)
        for name in reading.attention
    }
    for name in reading.self_attention if self_attention else ():
        own = f"{name}.processor"  # in joint attention the layer may be watched for the prompt already
        watched[own] = WatchedSelfAttention(watched.get(own, processors[own]), captured.add_self_attention)
    hooks = [network.get_submodule(name).register_forward_hook(hook(stride)) for name, stride in reading.layers.items()]
    network.set_attn_processor(processors | watched)
    try:
        yield captured
        if self_attention and not captured.self_attention:
            raise DatasetDMError(
                "This diffusion model has no self-attention at a resolution that can be read: set decoder.method to "
                "another method in params.yaml, and leave out decoder.reading.attention."
            )
    finally:
        network.set_attn_processor(processors)
        for one in hooks:
            one.remove()


@contextmanager
def last_input(network: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Within the block, a list of what the network's latest pass was given: scaled latents and timestep."""
    kept: list[torch.Tensor] = []
    names = list(inspect.signature(network.forward).parameters)

    def keep(_network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = dict(zip(names, args, strict=False)) | kwargs
        kept[:] = given[names[0]], given["timestep"]

    hook = network.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield kept
    finally:
        hook.remove()


def _enlarged(values: torch.Tensor, side: int) -> torch.Tensor:
    return F.interpolate(values, size=(side, side), mode="bilinear", align_corners=False)

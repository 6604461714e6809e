"""The frozen backbone's features of augmented views of the labelled images, from which a decoder learns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch

from datasetdm.diffusion.backbone import Backbone, NoiseLevel, encode_images
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.tasks.base import Task
from datasetdm.transforms.views import View

EXTRACTION_BATCH = 8

Targets = list[Mapping[str, torch.Tensor]]
Batch = tuple[DiffusionFeatures, Targets]


class Views(Protocol):
    """Where a training gets its views from."""

    def batches(self, seeds: Sequence[int], count: int, device: torch.device) -> Iterator[Batch]:
        """Features (float32) and targets of `count` views on `device`, once for each seed.

        The seed decides which views these are. It also becomes that of torch's generator, for what is drawn until the
        next batch.
        """

    def examples(self) -> DiffusionFeatures:
        """Features (float32) of some views on the CPU, for `Decoder.calibrate`; they follow torch's generator."""


def on_device(features: DiffusionFeatures, targets: Targets, device: torch.device) -> Batch:
    """The batch on `device`, its features in float32."""
    return (
        features.apply(lambda values: values.to(device, torch.float32)),
        [{key: value.to(device) for key, value in target.items()} for target in targets],
    )


@torch.no_grad()
def extract(
    backbone: Backbone,
    task: Task,
    views: Sequence[View],
    timesteps: tuple[NoiseLevel, NoiseLevel],
    seeds: Sequence[int],
) -> DiffusionFeatures:
    """Features of a few views, each at its own random noise level within `timesteps`; attention averaged over layers.

    Args:
        backbone: the frozen diffusion model.
        task: names the words whose attention is read.
        views: a few.
        timesteps: lowest and highest noise level.
        seeds: of noise and noise level, one for each view.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    drawn = [_level_within(*timesteps, generator) for generator in generators]
    features = backbone.extract(
        encode_images(backbone, [view.image for view in views]),
        [view.prompt for view in views],
        timestep=drawn,
        words=task.words,
        generators=generators,
    )
    attention = {stride: values.mean(dim=2, keepdim=True) for stride, values in features.attention.items()}
    return replace(features, attention=attention)


def _level_within(low: NoiseLevel, high: NoiseLevel, generator: torch.Generator) -> NoiseLevel:
    """A random level of the kind of the limits, which are timesteps or shares of the noise schedule."""
    if isinstance(low, int):
        return int(torch.randint(low, int(high) + 1, (1,), generator=generator))
    return low + (high - low) * float(torch.rand(1, generator=generator))

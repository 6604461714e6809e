"""The frozen backbone's features of views of the labelled images, with the targets that a decoder learns from.

A cached view costs one pass of the backbone instead of one in every training step, but the features of all views have
to fit into memory. Fresh views in every step (as in the paper) take no memory, and no two steps see the same one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.decoder.p_decoder import mask_size
from datasetdm.diffusion.backbone import Backbone, NoiseLevel, encode_images
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.transforms.views import View, augmented_view, augmented_views, to_square
from datasetdm.utils.batches import batches
from datasetdm.utils.memory import memory_limit
from datasetdm.utils.progress import Progress
from datasetdm.utils.seeding import derived_seed

EXTRACTION_BATCH = 8
NUM_EXAMPLES = 256  # at the most
EXAMPLE_BATCHES = 4  # of fresh views
PLAIN_SHARE = 1 / 16  # of fresh views show a whole image as it is
MEMORY_SHARE = 0.7  # of the machine's memory, which the cache may take

Batch = tuple[DiffusionFeatures, list[Mapping[str, torch.Tensor]]]


class Views(Protocol):
    """Where a training gets its views from; random choices follow torch's generator."""

    def sample(self, count: int, device: torch.device) -> Batch:
        """Features (float32) and targets of `count` views, on `device`."""

    def examples(self) -> DiffusionFeatures:
        """Features (float32) of some views on the CPU, for `PDecoder.calibrate`."""


def open_views(
    backbone: Backbone,
    task: Task,
    samples: Sequence[Sample],
    settings: config.Decoder,
    *,
    seed: int,
) -> Views:
    """Views as the settings ask for them: `views_per_image` of every sample, or fresh ones in every step.

    Raises:
        DatasetDMError: no samples, or features that would not fit into memory.
    """
    if not len(samples):
        raise DatasetDMError(
            "There is no labelled image to train the decoder on: raise ingest.num_real in params.yaml."
        )
    if settings.views_per_image is None:
        return FreshViews(backbone, task, samples, settings)
    return cache_views(backbone, task, samples, settings, seed=seed)


def num_views(settings: config.Decoder, num_samples: int) -> int:
    """How many views a training makes besides those of its iterations."""
    if settings.views_per_image is None:
        return EXAMPLE_BATCHES * EXTRACTION_BATCH
    return settings.views_per_image * num_samples


@dataclass(frozen=True)
class FreshViews:
    """Views that are made when they are needed.

    Attributes:
        backbone: the frozen diffusion model.
        task: what is learnt.
        samples: the labelled images.
        settings: how views are varied and noised.
    """

    backbone: Backbone
    task: Task
    samples: Sequence[Sample]
    settings: config.Decoder

    def sample(self, count: int, device: torch.device) -> Batch:
        """See `Views.sample`."""
        seeds = torch.randint(2**62, (count,)).tolist()
        views = [self._view(np.random.default_rng(seed)) for seed in seeds]
        features = extract(self.backbone, self.task, views, self.settings.train_timesteps, seeds)
        size = mask_size(features)
        targets = [self.task.encode(view.target, size) for view in views]
        return (
            features.apply(lambda values: values.to(device, torch.float32)),
            [{key: value.to(device) for key, value in target.items()} for target in targets],
        )

    def examples(self) -> DiffusionFeatures:
        """See `Views.examples`."""
        cpu = torch.device("cpu")
        return DiffusionFeatures.cat([self.sample(EXTRACTION_BATCH, cpu)[0] for _ in range(EXAMPLE_BATCHES)])

    def _view(self, rng: np.random.Generator) -> View:
        position = int(rng.integers(len(self.samples)))
        sample = to_square(self.samples[position], self.backbone.image_size)
        plain = rng.random() < PLAIN_SHARE
        noise, words = self.settings.prompt_noise, self.task.prompt_words
        return augmented_view(sample, self.samples, position, noise, rng, words, plain=plain)


@dataclass(frozen=True)
class ViewCache:
    """Features and training targets of all views.

    Attributes:
        features: N views in float16 on the CPU, attention averaged over its layers.
        targets: what `Task.encode` made of each view's annotation.
    """

    features: DiffusionFeatures
    targets: list[dict[str, torch.Tensor]]

    def __len__(self) -> int:
        return len(self.targets)

    def sample(self, count: int, device: torch.device) -> Batch:
        """See `Views.sample`; a batch has no view twice, and fewer than `count` if there are not that many."""
        return self.batch(torch.randperm(len(self))[:count], device)

    def examples(self) -> DiffusionFeatures:
        """See `Views.examples`."""
        return self.sample(NUM_EXAMPLES, torch.device("cpu"))[0]

    def batch(self, index: torch.Tensor, device: torch.device) -> Batch:
        """Features (float32) and targets of the views `index` on `device`."""
        features = self.features.select(index).apply(lambda values: values.to(device, torch.float32))
        targets = [self.targets[position] for position in index.tolist()]
        return features, [{key: value.to(device) for key, value in target.items()} for target in targets]


def cache_views(
    backbone: Backbone,
    task: Task,
    samples: Sequence[Sample],
    settings: config.Decoder,
    *,
    seed: int,
) -> ViewCache:
    """Make `views_per_image` views of every sample and extract their features.

    Raises:
        DatasetDMError: features that would not fit into memory.
    """
    assert settings.views_per_image is not None
    total = len(samples) * settings.views_per_image
    storage: DiffusionFeatures | None = None
    targets: list[dict[str, torch.Tensor]] = []
    pace = Progress(total, "augmented views")
    every_view = augmented_views(samples, settings, backbone.image_size, seed, task.prompt_words)
    for views in batches(every_view, EXTRACTION_BATCH):
        start, stop = len(targets), len(targets) + len(views)
        seeds = [derived_seed(seed, 1, number) for number in range(start, stop)]
        features = extract(backbone, task, views, settings.train_timesteps, seeds)
        storage = storage or _allocate(features, total)
        _store(storage, features, slice(start, stop))
        targets += [task.encode(view.target, mask_size(features)) for view in views]
        pace.update(stop)
    assert storage is not None
    return ViewCache(storage, targets)


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


def _allocate(features: DiffusionFeatures, total: int) -> DiffusionFeatures:
    storage = features.apply(lambda values: torch.empty(0, *values.shape[1:], dtype=torch.float16))
    tensors = [*storage.maps.values(), *storage.attention.values()]
    size = sum(2 * total * int(np.prod(values.shape[1:])) for values in tensors)
    memory = memory_limit()
    if size > MEMORY_SHARE * memory:
        raise DatasetDMError(
            f"The features of {total} views take {size / 2**30:.1f} GiB, more than this machine's "
            f"{memory / 2**30:.1f} GiB of memory allow: lower decoder.views_per_image in params.yaml, or set it to "
            "null to have fresh views made in every step."
        )
    mentioned = features.mentioned
    return replace(
        storage.apply(lambda values: values.new_empty(total, *values.shape[1:])),
        mentioned=None if mentioned is None else mentioned.new_zeros(total, mentioned.shape[1]),
    )


def _store(storage: DiffusionFeatures, features: DiffusionFeatures, place: slice) -> None:
    limit = torch.finfo(torch.float16).max
    for stored, new in ((storage.maps, features.maps), (storage.attention, features.attention)):
        for stride, values in new.items():
            stored[stride][place] = values.clamp(-limit, limit).to("cpu", torch.float16)
    if storage.mentioned is not None and features.mentioned is not None:
        storage.mentioned[place] = features.mentioned

"""Views that are made when they are needed, as in the paper: they take no memory, and no two steps see the same one.

With a GPU, processes prepare the next views while the GPU works (`num_workers`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.decoder.p_decoder import mask_side
from datasetdm.decoder.view_features import EXTRACTION_BATCH, Batch, Targets, extract, on_device
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.tasks.base import Task
from datasetdm.transforms.views import View, augmented_view, to_square
from datasetdm.utils.seeding import derived_seed
from datasetdm.utils.workers import num_workers

EXAMPLE_BATCHES = 4
PLAIN_SHARE = 1 / 16  # of the views show a whole image as it is


@dataclass(frozen=True)
class PreparedBatch:
    """All that does not need the backbone.

    Attributes:
        views: pictures, prompts and annotations.
        targets: what `Task.encode` made of the annotations.
        seeds: one for each view, of its noise.
    """

    views: list[View]
    targets: Targets
    seeds: list[int]


@dataclass(frozen=True)
class PreparedBatches(Dataset[PreparedBatch]):
    """Batches of views by their number; worker processes make them.

    Attributes:
        task: what is learnt.
        samples: the labelled images.
        settings: how views are varied.
        image_size: side of the views in pixels.
        mask_side: side of the targets' masks.
        seeds: one for each batch.
        count: views in a batch.
    """

    task: Task
    samples: Sequence[Sample]
    settings: config.Decoder
    image_size: int
    mask_side: int
    seeds: Sequence[int]
    count: int

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, number: int) -> PreparedBatch:
        seeds = [derived_seed(self.seeds[number], 5, position) for position in range(self.count)]
        views = [self.view(np.random.default_rng(seed)) for seed in seeds]
        side = self.mask_side
        return PreparedBatch(views, [self.task.encode(view.target, (side, side)) for view in views], seeds)

    def view(self, rng: np.random.Generator) -> View:
        """A view of one of the labelled images."""
        position = int(rng.integers(len(self.samples)))
        sample = to_square(self.samples[position], self.image_size)
        plain = rng.random() < PLAIN_SHARE
        noise, words = self.settings.prompt_noise, self.task.prompt_words
        return augmented_view(sample, self.samples, position, noise, rng, words, plain=plain)


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

    def batches(self, seeds: Sequence[int], count: int, device: torch.device) -> Iterator[Batch]:
        """See `Views.batches`."""
        prepared = PreparedBatches(
            task=self.task,
            samples=self.samples,
            settings=self.settings,
            image_size=self.backbone.image_size,
            mask_side=mask_side(self.backbone.feature_info, self.backbone.image_size),
            seeds=seeds,
            count=count,
        )
        loader = DataLoader(prepared, batch_size=None, num_workers=num_workers(device), collate_fn=_as_it_is)
        for seed, batch in zip(seeds, loader, strict=True):
            torch.manual_seed(seed)
            features = extract(self.backbone, self.task, batch.views, self.settings.train_timesteps, batch.seeds)
            yield on_device(features, batch.targets, device)

    def examples(self) -> DiffusionFeatures:
        """See `Views.examples`."""
        seeds = torch.randint(2**62, (EXAMPLE_BATCHES,)).tolist()
        found = self.batches(seeds, EXTRACTION_BATCH, torch.device("cpu"))
        return DiffusionFeatures.cat([features for features, _ in found])


def _as_it_is(batch: Any) -> Any:
    return batch

"""Views that are made once, with their features in memory.

A cached view costs one pass of the backbone instead of one in every training step, but the features of all views have
to fit into memory.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.decoder.p_decoder import mask_size
from datasetdm.decoder.view_features import EXTRACTION_BATCH, Batch, extract, on_device
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.features import DiffusionFeatures
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.transforms.views import augmented_views
from datasetdm.utils.batches import batches
from datasetdm.utils.memory import memory_limit
from datasetdm.utils.progress import Progress
from datasetdm.utils.seeding import derived_seed

NUM_EXAMPLES = 256  # at the most
MEMORY_SHARE = 0.7  # of the machine's memory, which the cache may take


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

    def batches(self, seeds: Sequence[int], count: int, device: torch.device) -> Iterator[Batch]:
        """See `Views.batches`; a batch has no view twice, and fewer than `count` if there are not that many."""
        for seed in seeds:
            torch.manual_seed(seed)
            yield self.batch(torch.randperm(len(self))[:count], device)

    def examples(self) -> DiffusionFeatures:
        """See `Views.examples`."""
        return self.batch(torch.randperm(len(self))[:NUM_EXAMPLES], torch.device("cpu"))[0]

    def batch(self, index: torch.Tensor, device: torch.device) -> Batch:
        """Features (float32) and targets of the views `index` on `device`."""
        return on_device(self.features.select(index), [self.targets[place] for place in index.tolist()], device)


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

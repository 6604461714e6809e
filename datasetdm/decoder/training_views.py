"""Which views a training learns from: cached ones, or fresh ones in every step."""

from collections.abc import Sequence

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.decoder.fresh_views import EXAMPLE_BATCHES, FreshViews
from datasetdm.decoder.view_cache import cache_views
from datasetdm.decoder.view_features import EXTRACTION_BATCH, Views
from datasetdm.diffusion.backbone import Backbone
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task


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

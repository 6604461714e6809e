"""What a method without training takes from the labelled images."""

from collections.abc import Iterator, Sequence

import torch

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.decoder.base import Decoder, Labelled
from datasetdm.decoder.inference import BATCH, read_features
from datasetdm.diffusion.backbone import Backbone, encode_images
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.transforms.views import to_square
from datasetdm.utils.batches import batches
from datasetdm.utils.seeding import derived_seed


def fit(
    backbone: Backbone, decoder: Decoder, task: Task, samples: Sequence[Sample], settings: config.Decoder, *, seed: int
) -> None:
    """Let the decoder make its choices (`Decoder.choose`) on the labelled images as they are, read once each.

    Args:
        backbone: the frozen diffusion model.
        decoder: a method without training.
        task: what is read.
        samples: the labelled images.
        settings: how the images are read.
        seed: of their noise.

    Raises:
        DatasetDMError: no labelled image.
    """
    if not len(samples):
        raise DatasetDMError("There is no labelled image to choose by: raise ingest.num_real in params.yaml.")
    decoder.choose(task, _labelled(backbone, task, samples, settings, seed))


def _labelled(
    backbone: Backbone, task: Task, samples: Sequence[Sample], settings: config.Decoder, seed: int
) -> Iterator[Labelled]:
    once = settings.model_copy(update={"reading": None})
    for positions in batches(range(len(samples)), BATCH):
        squares = [to_square(samples[position], backbone.image_size) for position in positions]
        generators = [torch.Generator().manual_seed(derived_seed(seed, 1, position)) for position in positions]
        (features,) = read_features(
            backbone,
            encode_images(backbone, [square.image for square in squares]),
            [square.caption for square in squares],
            words=task.words,
            settings=once,
            generators=generators,
        )
        yield squares, features

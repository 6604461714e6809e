"""Training data of a dense network: mixture of data sets, augmentation, normalisation."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch.utils.data import Dataset

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream.dense.readouts import Readout
from datasetdm.downstream.mixture import mixed
from datasetdm.downstream.sources import Labelled
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.transforms.geometry import resize_matrix, resized
from datasetdm.utils.normalisation import MEAN, normalise

STRIDE = 32  # the coarsest feature map of every network; sides of its input are multiples
COLOUR_JITTER = 0.2  # largest relative change of brightness, contrast and saturation


class TrainingViews(Dataset[dict[str, torch.Tensor]]):
    """The views of a whole training, in the order of the training.

    A view depends only on the seed and its number, whichever process prepares it.

    Args:
        sources: data sets that the views are drawn from, by weight.
        task: loads and warps the annotation.
        readout: makes tensors of it.
        image_size: longer side of a whole image at zoom 1; views are squares of that size, rounded up to `STRIDE`.
        num_views: views in all.
        seed: decides order and augmentation.

    Raises:
        DatasetDMError: no source has an image.
    """

    def __init__(
        self,
        sources: Sequence[Labelled],
        *,
        task: Task,
        readout: Readout,
        image_size: int,
        num_views: int,
        seed: int,
    ):
        loaded = [(source, standard_format(*task.kind).load(source.folder, source.subset)) for source in sources]
        filled = [(source, samples) for source, samples in loaded if len(samples)]
        if not filled:
            files = ", ".join(str(source.annotation_file) for source in sources)
            raise DatasetDMError(
                f"There is no image to train on: {files or 'every source'} holds none. Accept more synthetic images or "
                "raise the number of images in params.yaml."
            )
        self.task, self.readout, self.image_size, self.seed = task, readout, image_size, seed
        used, self.parts = zip(*filled, strict=True)
        lengths = [len(samples) for samples in self.parts]
        self.starts = np.cumsum([0, *lengths[:-1]])
        self.order = list(mixed(used, lengths, num_views, seed))

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        """View `number`: `images` 3 x S x S, normalised, and `targets` S x S."""
        part = int(np.searchsorted(self.starts, self.order[number], side="right")) - 1
        sample = self.parts[part][self.order[number] - int(self.starts[part])]
        rng = np.random.default_rng([self.seed, number])
        image, annotation, zoom = augmented_view(self.task, sample, self.image_size, self.readout.zoom, rng)
        return {"images": normalise(image[None])[0], "targets": self.readout.target(annotation, zoom)}


def augmented_view(
    task: Task, sample: Sample, image_size: int, zooms: tuple[float, float], rng: np.random.Generator
) -> tuple[np.ndarray, Any, float]:
    """A square of the sample, randomly mirrored, zoomed, shifted and tinted.

    Returns:
        The picture (uint8 S x S x 3; the mean colour outside the image), its annotation (unknown there), and the zoom.
    """
    zoom = float(np.exp(rng.uniform(*np.log(zooms))))
    height, width = fitting_size(sample.image.shape[:2], round(image_size * zoom))
    side = padded(image_size)
    left, top = rng.uniform(size=2) * (side - width, side - height)
    # Whole pixels, so that the picture is resampled only once.
    move = np.array([[1.0, 0.0, round(left)], [0.0, 1.0, round(top)]])
    if rng.random() < 0.5:
        move[0] = (-1.0, 0.0, side - 1 - move[0, 2])
    image = cv2.warpAffine(
        resized(sample.image, (height, width)), move, (side, side), flags=cv2.INTER_NEAREST, borderValue=MEAN
    )
    resize = resize_matrix(sample.image.shape[:2], (height, width))
    matrix = np.column_stack([move[:, :2] @ resize[:, :2], move[:, :2] @ resize[:, 2] + move[:, 2]])
    return tinted(image, rng), sample.target.warp(matrix, (side, side)), zoom


def tinted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture with slightly changed brightness, contrast and saturation."""
    picture = Image.fromarray(image)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = change(picture).enhance(1 + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER))
    return np.array(picture)


def fitting_size(size: tuple[int, ...], longer_side: int) -> tuple[int, int]:
    """(height, width) of an image resized to that longer side, with the same aspect ratio."""
    factor = longer_side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def padded(length: int) -> int:
    """The next multiple of `STRIDE`."""
    return -(-length // STRIDE) * STRIDE

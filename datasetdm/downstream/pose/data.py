"""Training data of a pose network: crops of persons, augmentation, mixture of data sets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from datasetdm import config
from datasetdm.annotations.persons import move_keypoints
from datasetdm.annotations.sample import Category
from datasetdm.datasets.standard.coco_keypoints import CocoKeypointSplit
from datasetdm.datasets.standard.formats import PersonFormat
from datasetdm.downstream.mixture import mixed
from datasetdm.downstream.sources import Labelled
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.pose_heatmaps import draw_gaussians, to_cells
from datasetdm.utils.normalisation import MEAN, normalise

PADDING = 1.25  # the crop's size over the box's
ZOOMS = (0.75, 1.25)
SHIFT = 0.08  # largest shift, as a share of the crop
COLOUR_JITTER = 0.2  # largest relative change of brightness and contrast


@dataclass(frozen=True)
class _Source:
    """The labelled persons of an annotation file: positions of their images, keypoints and boxes."""

    split: CocoKeypointSplit
    images: np.ndarray
    keypoints: np.ndarray
    boxes: np.ndarray


class PersonCrops(Dataset[dict[str, torch.Tensor]]):
    """The crops of a whole training, in the order of the training.

    A crop depends only on the seed and its number, whichever process prepares it.

    Args:
        sources: data sets that the persons are drawn from, by weight.
        categories: those of the task.
        size: (height, width) of a crop.
        cells: (height, width) of the heatmaps.
        sigma: of the Gaussians, in cells.
        num_crops: crops in all.
        seed: decides order and augmentation.

    Raises:
        DatasetDMError: no source has a person with a labelled keypoint.
    """

    def __init__(
        self,
        sources: Sequence[Labelled],
        *,
        categories: Sequence[Category],
        size: tuple[int, int],
        cells: tuple[int, int],
        sigma: float,
        num_crops: int,
        seed: int,
    ):
        layout = PersonFormat(config.PoseAnnotation(), categories)
        read = [(source, _persons(layout.load(source.folder, source.subset))) for source in sources]
        filled = [(source, persons) for source, persons in read if len(persons.images)]
        if not filled:
            files = ", ".join(str(source.annotation_file) for source in sources)
            raise DatasetDMError(
                f"There is no person to train on: {files or 'every source'} holds none with a labelled keypoint. "
                "Lower synthesis.filter.score_threshold or raise the number of images in params.yaml."
            )
        used, self.parts = zip(*filled, strict=True)
        lengths = [len(part.images) for part in self.parts]
        self.starts = np.cumsum([0, *lengths[:-1]])
        self.order = list(mixed(used, lengths, num_crops, seed))
        self.size, self.cells, self.sigma, self.seed = size, cells, sigma, seed

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        """Crop `number`: `images` 3 x H x W, normalised, `heatmaps` 17 x h x w, and `weights` 17 x 1 x 1 (1 or 0)."""
        part = int(np.searchsorted(self.starts, self.order[number], side="right")) - 1
        source, person = self.parts[part], self.order[number] - int(self.starts[part])
        rng = np.random.default_rng([self.seed, number])
        matrix = augmented_matrix(crop_matrix(source.boxes[person], self.size), self.size, rng)
        image = crop(source.split.image_of(int(source.images[person])), matrix, self.size)
        keypoints = move_keypoints(source.keypoints[person][None], matrix, self.size)[0]
        points = to_cells(keypoints[:, :2], self.size, self.cells)
        labelled = (keypoints[:, 2] > 0).astype(np.float32)[:, None, None]
        return {
            "images": normalise(_tinted(image, rng)[None])[0],
            "heatmaps": torch.from_numpy(draw_gaussians(points, self.cells, self.sigma) * labelled),
            "weights": torch.from_numpy(labelled),
        }


def crop_matrix(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The 2 x 3 map that brings a box (x, y, width, height), with room around it, into a crop of (height, width)."""
    height, width = size
    scale = min(height / max(box[3], 1), width / max(box[2], 1)) / PADDING
    centre = box[:2] + box[2:] / 2 - 0.5  # from edges to centres of pixels
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    return np.column_stack([scale * np.eye(2), middle - scale * centre])


def augmented_matrix(matrix: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The map, followed by a random flip, zoom and shift about the crop's middle."""
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    zoom = np.exp(rng.uniform(*np.log(ZOOMS)))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    shift = rng.uniform(-SHIFT, SHIFT, size=2) * (size[1], size[0])
    linear = zoom * np.diag([mirror, 1.0])
    return np.column_stack([linear @ matrix[:, :2], linear @ (matrix[:, 2] - middle) + middle + shift])


def crop(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The crop (uint8 H x W x 3) of an image; the mean colour where it reaches beyond."""
    return cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderValue=MEAN)


def _persons(split: CocoKeypointSplit) -> _Source:
    poses = [split.poses_of(index) for index in range(len(split))]
    images = np.repeat(np.arange(len(split)), [len(boxes) for _, boxes in poses])
    none = np.zeros((0, 17, 3), np.float32), np.zeros((0, 4), np.float32)
    keypoints, boxes = (np.concatenate(arrays) for arrays in zip(none, *poses, strict=True))
    return _Source(split, images, keypoints, boxes)


def _tinted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    brightness, contrast = 1 + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, size=2)
    values = image.astype(np.float32) * brightness
    return ((values - values.mean()) * contrast + values.mean()).clip(0, 255).astype(np.uint8)

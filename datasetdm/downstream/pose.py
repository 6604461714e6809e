"""Pose estimation with ViTPose: train a network on an arm's persons, load it back, predict within given boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import VitPoseConfig, VitPoseForPoseEstimation, set_seed

from datasetdm import config
from datasetdm.annotations.persons import FLIP_PAIRS, KEYPOINTS, Persons
from datasetdm.annotations.sample import Category
from datasetdm.downstream import Labelled, category_records, evaluate, read_categories
from datasetdm.downstream.pose_data import PersonCrops, crop, crop_matrix
from datasetdm.downstream.pose_models import crop_size, heatmap_size, load_backbone, model_config
from datasetdm.downstream.trainer import run_training
from datasetdm.downstream.weights import weights_file
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.tasks.pose_heatmaps import find_peaks, heatmap_loss, to_cells
from datasetdm.utils.devices import choose_device
from datasetdm.utils.files import read_json, replacing, write_json
from datasetdm.utils.images import checked_images
from datasetdm.utils.normalisation import normalise

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
PREDICTION_BATCH = 64  # persons of one image


class PosePredictor:
    """A trained network, top-down: it looks at one person at a time.

    Args:
        network: draws heatmaps of crops.
        categories: in label order.
        device: where it runs.
    """

    def __init__(self, network: VitPoseForPoseEstimation, categories: Sequence[Category], device: torch.device):
        self.network, self.device = network.to(device).eval(), device
        self.categories = tuple(categories)
        self.size: tuple[int, int] = tuple(network.config.backbone_config.image_size)
        self._flip_pairs = torch.tensor(FLIP_PAIRS, device=device)

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Self:
        """The network that `train` wrote to a folder.

        Raises:
            DatasetDMError: the folder holds no such network, or its files do not fit each other.
        """
        remedy = "Run the stage train_downstream (again)."
        description = read_json(folder / CONFIG_FILE, remedy=remedy)
        network = VitPoseForPoseEstimation(VitPoseConfig.from_dict(description["model"]))
        try:
            network.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except FileNotFoundError:
            raise DatasetDMError(f"{folder / WEIGHTS_FILE} is missing. {remedy}") from None
        except (SafetensorError, RuntimeError, OSError) as error:
            raise DatasetDMError(
                f"{folder / WEIGHTS_FILE} does not fit its {CONFIG_FILE} ({error}). {remedy}"
            ) from None
        return cls(network, read_categories(description), choose_device(device))

    @torch.no_grad()
    def predict(self, images: Sequence[np.ndarray], hints: Sequence[Any] | None = None) -> list[Persons]:
        """One person per box, in their order; score = mean score of its keypoints.

        Args:
            images: uint8, H x W x 3, RGB, of any sizes.
            hints: per image the persons' boxes, float N x 4: x, y, width, height in pixels; None: each image is taken
                for that of one person.

        Returns:
            Persons with the keypoints' scores, the given boxes, and masks without a pixel: none are found.
        """
        images = checked_images(images)
        if hints is None:
            hints = [np.array([[0, 0, image.shape[1], image.shape[0]]], dtype=np.float32) for image in images]
        return [
            _persons(self._poses(image, np.asarray(boxes, dtype=np.float32).reshape(-1, 4)), boxes, image)
            for image, boxes in zip(images, hints, strict=True)
        ]

    def _poses(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Keypoints (float32, N x 17 x 3) of the persons in N boxes of an image."""
        found = [np.zeros((0, len(KEYPOINTS), 3), dtype=np.float32)]
        for start in range(0, len(boxes), PREDICTION_BATCH):
            matrices = [crop_matrix(box, self.size) for box in boxes[start : start + PREDICTION_BATCH]]
            pixels = np.stack([crop(image, matrix, self.size) for matrix in matrices])
            heatmaps = self._heatmaps(normalise(pixels).to(self.device))
            found.append(np.stack([self._keypoints(*item) for item in zip(heatmaps, matrices, strict=True)]))
        return np.concatenate(found)

    def _heatmaps(self, pixels: torch.Tensor) -> np.ndarray:
        """The mean over the crop and its mirror image, as usual in top-down estimation."""
        upright = self.network(pixels).heatmaps
        mirrored = self.network(pixels.flip(-1), flip_pairs=self._flip_pairs).heatmaps
        return ((upright + mirrored) / 2).float().cpu().numpy()

    def _keypoints(self, heatmaps: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Keypoints (float32, 17 x 3: x, y, score) in the image that `matrix` brought into the crop."""
        peaks, heights = find_peaks(heatmaps)
        points = to_cells(peaks, heatmaps.shape[1:], self.size)
        back = cv2.invertAffineTransform(matrix)
        return np.column_stack([points @ back[:, :2].T + back[:, 2], heights]).astype(np.float32)


load = PosePredictor.load


def train(
    settings: config.Downstream,
    *,
    task: Task,
    datasets: Sequence[Labelled],
    dev: Labelled,
    seed: int,
    out: Path,
    device: str = "auto",
    resume: Path | None = None,
) -> dict[str, float]:
    """Train a network; every arm gets the same number of iterations.

    Writes `model.safetensors`, `config.json` (all that `load` needs), `metrics.json` (figures on `dev`) and
    `curves.csv` (training loss) into `out`, all at once at the end.

    Args:
        settings: model and schedule; `image_size` is the height of a person's crop, `batch_size` counts persons.
        task: `pose`.
        datasets: the sources and their shares of a batch.
        dev: held-out images for the metrics; the weights are those of the last iteration.
        seed: decides initial weights, order and augmentation.
        out: folder to (over)write.
        device: auto, cpu, cuda, cuda:1, ...
        resume: folder of checkpoints, written every `settings.checkpoint_every` iterations and gone on from.

    Returns:
        The metrics on `dev`, within the true boxes.

    Raises:
        DatasetDMError: unknown model, unusable weights or annotations, no person to train on, a loss without bounds.
    """
    where = choose_device(device)
    set_seed(seed)
    description = model_config(settings)
    network = VitPoseForPoseEstimation(description)
    # For short trainings from scratch: no random heatmaps to unlearn, and patches that can be told apart by their
    # place from the start (0.02, as usual, drowns in what the patches show; measured: a sixth less loss after 100).
    nn.init.zeros_(network.head.conv.weight)
    nn.init.normal_(network.backbone.embeddings.position_embeddings, std=0.5)
    if settings.pretrained is not None:
        load_backbone(network, weights_file(settings.pretrained))
    cells = heatmap_size(description)
    sigma = max(2.0, cells[0] / 32)  # 2 of 64 cells, as usual; sharper bells on few cells are hardly learnt
    crops = PersonCrops(
        datasets,
        categories=task.categories,
        size=crop_size(settings.image_size),
        cells=cells,
        sigma=sigma,
        num_crops=settings.num_batches * settings.batch_size,
        seed=seed,
    )
    dev_samples = task.load(dev.folder, dev.subset)
    curve = run_training(LearningNetwork(network, sigma), crops, settings, seed=seed, device=where, resume=resume)
    metrics = evaluate(PosePredictor(network, task.categories, where), task, dev_samples)
    with replacing(out) as folder:
        folder.mkdir()
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / WEIGHTS_FILE)
        curve.save(folder / "curves.csv")
        write_json(folder / "metrics.json", metrics)
        write_json(
            folder / CONFIG_FILE,
            {
                "name": settings.model,
                "image_size": settings.image_size,
                "categories": category_records(task.categories),
                "model": description.to_dict(),
            },
        )
    return metrics


class LearningNetwork(nn.Module):
    """A network with its loss, as the Trainer wants it; transformers gives ViTPose none."""

    def __init__(self, network: VitPoseForPoseEstimation, sigma: float):
        super().__init__()
        self.network, self.sigma = network, sigma

    def forward(self, images: torch.Tensor, heatmaps: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """The `loss` of normalised crops B x 3 x H x W; heatmaps B x 17 x h x w, weights B x 17 x 1 x 1."""
        return {"loss": heatmap_loss(self.network(images).heatmaps, heatmaps, weights, self.sigma)}


def _persons(keypoints: np.ndarray, boxes: Any, image: np.ndarray) -> Persons:
    return Persons(
        keypoints=keypoints,
        boxes=np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
        masks=np.zeros((len(keypoints), *image.shape[:2]), dtype=bool),
        scores=keypoints[..., 2].mean(axis=1) if len(keypoints) else np.zeros(0, dtype=np.float32),
        crowd=np.zeros(len(keypoints), dtype=bool),
    )

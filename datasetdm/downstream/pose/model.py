"""A pose network: built, trained, and used to find keypoints within given boxes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, PreTrainedConfig

from datasetdm import config
from datasetdm.annotations.persons import KEYPOINTS, MIRRORED, Persons
from datasetdm.annotations.sample import Category
from datasetdm.downstream.architectures.pose import crop_size
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.model import DownstreamModel, categories_from_dicts, categories_to_dicts
from datasetdm.downstream.pose.data import PersonCrops, crop, crop_matrix
from datasetdm.downstream.pose.networks import PoseNetwork, build_network
from datasetdm.downstream.precision import trains_in_bfloat16
from datasetdm.downstream.registry import find_model
from datasetdm.downstream.sources import Labelled
from datasetdm.downstream.trainer import run_trainer
from datasetdm.downstream.weights import weights_file
from datasetdm.tasks.base import Task
from datasetdm.tasks.pose_heatmaps import find_peaks, heatmap_loss, to_cells
from datasetdm.utils.images import checked_images
from datasetdm.utils.normalisation import normalise

PREDICTION_BATCH = 64  # persons of one image


class PoseModel(DownstreamModel):
    """A top-down network: it looks at one person at a time.

    Args:
        architecture: transformers' configuration of the network.
        name: value of `downstream.model`.
        image_size: height of a person's crop, in pixels.
        categories: in label order.
    """

    network: PoseNetwork

    def __init__(self, architecture: PreTrainedConfig, *, name: str, image_size: int, categories: Sequence[Category]):
        super().__init__(build_network(architecture), name=name, image_size=image_size, categories=categories)
        self.size = crop_size(image_size)

    @classmethod
    def build(cls, settings: config.Downstream, task: Task) -> Self:
        """As in `DownstreamModel`; `settings.image_size` is the height of a person's crop."""
        model = cls(
            find_model(task.name, settings.model).build(settings, len(KEYPOINTS)),
            name=settings.model,
            image_size=settings.image_size,
            categories=task.categories,
        )
        if settings.pretrained is not None:
            model.network.load_pretrained(weights_file(settings.pretrained))
        return model

    def train(
        self,
        settings: config.Downstream,
        datasets: Sequence[Labelled],
        task: Task,
        curve: LossCurve,
        *,
        seed: int,
        device: torch.device,
        resume: Path | None,
    ) -> None:
        """As in `DownstreamModel`; `settings.batch_size` counts persons."""
        height, width = self.size
        cells = height // self.network.stride, width // self.network.stride
        sigma = max(2.0, cells[0] / 32)  # 2 of 64 cells, as usual; sharper bells on few cells are hardly learnt
        crops = PersonCrops(
            datasets,
            categories=self.categories,
            size=self.size,
            cells=cells,
            sigma=sigma,
            num_crops=settings.num_batches * settings.batch_size,
            seed=seed,
        )
        network = PoseNetworkWithLoss(self.network, sigma)
        bfloat16 = trains_in_bfloat16(settings, task.name, device)
        run_trainer(network, crops, settings, curve, seed=seed, device=device, bfloat16=bfloat16, resume=resume)

    @torch.no_grad()
    def predict(self, images: Sequence[np.ndarray], prompt_boxes: Sequence[Any] | None = None) -> list[Persons]:
        """One person per box, in their order; score = mean score of its keypoints.

        Args:
            images: uint8, H x W x 3, RGB, of any sizes.
            prompt_boxes: per image the persons' boxes, float N x 4: x, y, width, height in pixels; None: each image
                shows one person, who fills it.

        Returns:
            Persons with the keypoints' scores, the given boxes, and empty masks: this model does not find any.
        """
        images = checked_images(images)
        if prompt_boxes is None:
            prompt_boxes = [np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32) for image in images]
        return [
            _persons(self._poses(image, np.asarray(boxes, dtype=np.float32).reshape(-1, 4)), boxes, image)
            for image, boxes in zip(images, prompt_boxes, strict=True)
        ]

    def _poses(self, image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Keypoints (float32, N x 17 x 3) of the persons in N boxes of an image."""
        found = [np.zeros((0, len(KEYPOINTS), 3), dtype=np.float32)]
        for start in range(0, len(boxes), PREDICTION_BATCH):
            matrices = [crop_matrix(box, self.size) for box in boxes[start : start + PREDICTION_BATCH]]
            pixels = np.stack([crop(image, matrix, self.size) for matrix in matrices])
            heatmaps = self._heatmaps(normalise(pixels))
            found.append(np.stack([self._keypoints(*item) for item in zip(heatmaps, matrices, strict=True)]))
        return np.concatenate(found)

    def _heatmaps(self, pixels: torch.Tensor) -> np.ndarray:
        """The mean over the crop and its mirror image, as usual in top-down estimation."""
        pixels = pixels.to(self.device)
        upright = self.network(pixels)
        mirrored = self.network(pixels.flip(-1))[:, list(MIRRORED)].flip(-1)
        return ((upright + mirrored) / 2).float().cpu().numpy()

    def _keypoints(self, heatmaps: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Keypoints (float32, 17 x 3: x, y, score) in the image that `matrix` brought into the crop."""
        peaks, heights = find_peaks(heatmaps)
        points = to_cells(peaks, heatmaps.shape[1:], self.size)
        back = cv2.invertAffineTransform(matrix)
        return np.column_stack([points @ back[:, :2].T + back[:, 2], heights]).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """As in `DownstreamModel`."""
        return {
            "name": self.name,
            "image_size": self.image_size,
            "categories": categories_to_dicts(self.categories),
            "model": self.network.config.to_dict(),
        }

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """As in `DownstreamModel`."""
        return cls(
            AutoConfig.for_model(**description["model"]),
            name=description["name"],
            image_size=description["image_size"],
            categories=categories_from_dicts(description["categories"]),
        )


class PoseNetworkWithLoss(nn.Module):
    """A network with its loss, as the Trainer expects it."""

    def __init__(self, network: PoseNetwork, sigma: float):
        super().__init__()
        self.network, self.sigma = network, sigma

    def forward(self, images: torch.Tensor, heatmaps: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """The `loss` of normalised crops B x 3 x H x W; heatmaps B x 17 x h x w, weights B x 17 x 1 x 1."""
        return {"loss": heatmap_loss(self.network(images).float(), heatmaps, weights, self.sigma)}


def _persons(keypoints: np.ndarray, boxes: Any, image: np.ndarray) -> Persons:
    return Persons(
        keypoints=keypoints,
        boxes=np.asarray(boxes, dtype=np.float32).reshape(-1, 4),
        masks=np.zeros((len(keypoints), *image.shape[:2]), dtype=bool),
        scores=keypoints[..., 2].mean(axis=1) if len(keypoints) else np.zeros(0, dtype=np.float32),
        crowd=np.zeros(len(keypoints), dtype=bool),
    )

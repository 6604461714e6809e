"""A dense network: built, trained, and used to annotate every pixel of images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from transformers import AutoConfig, PreTrainedConfig

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.dense.data import TrainingViews, fitting_size, padded
from datasetdm.downstream.dense.networks import SegmentationNetwork, build_network
from datasetdm.downstream.dense.readouts import Readout, readout_class
from datasetdm.downstream.model import DownstreamModel, categories_from_dicts, categories_to_dicts
from datasetdm.downstream.precision import trains_in_bfloat16
from datasetdm.downstream.registry import find_model
from datasetdm.downstream.sources import Labelled
from datasetdm.downstream.trainer import run_trainer
from datasetdm.downstream.transformers_backbone import load_pretrained
from datasetdm.downstream.weights import weights_file
from datasetdm.tasks.base import Task
from datasetdm.transforms.geometry import resized
from datasetdm.utils.images import checked_images
from datasetdm.utils.normalisation import MEAN, normalise

FITTING_VIEWS = 64  # from which a readout learns what is typical


class DenseModel(DownstreamModel):
    """A network that scores every pixel, and the readout that makes annotations of the scores.

    Args:
        architecture: transformers' configuration of the network.
        readout: what the scores mean.
        name: value of `downstream.model`.
        image_size: longer side at which the network sees an image, in pixels.
        categories: in label order.
    """

    network: SegmentationNetwork

    def __init__(
        self,
        architecture: PreTrainedConfig,
        readout: Readout,
        *,
        name: str,
        image_size: int,
        categories: Sequence[Category],
    ):
        super().__init__(build_network(architecture), name=name, image_size=image_size, categories=categories)
        self.readout = readout

    @classmethod
    def build(cls, settings: config.Downstream, task: Task) -> Self:
        """As in `DownstreamModel`."""
        readout = readout_class(task.name).of(task)
        model = cls(
            find_model(task.name, settings.model).build(settings, readout.channels),
            readout,
            name=settings.model,
            image_size=settings.image_size,
            categories=task.categories,
        )
        if settings.pretrained is not None:
            load_pretrained(model.network.backbone, weights_file(settings.pretrained))
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
        """As in `DownstreamModel`; the readout is fitted to the first views."""
        views = TrainingViews(
            datasets,
            task=task,
            readout=self.readout,
            image_size=settings.image_size,
            num_views=settings.num_batches * settings.batch_size,
            seed=seed,
        )
        first_targets = [views[number]["targets"] for number in range(min(FITTING_VIEWS, len(views)))]
        self.readout = self.readout.fitted(torch.stack(first_targets))
        network = DenseNetworkWithLoss(self.network, self.readout)
        bfloat16 = trains_in_bfloat16(settings, task.name, device)
        run_trainer(network, views, settings, curve, seed=seed, device=device, bfloat16=bfloat16, resume=resume)

    @torch.no_grad()
    def predict(self, images: Sequence[np.ndarray], prompt_boxes: Sequence[Any] | None = None) -> list[Any]:
        """The annotation of each image at its size; `prompt_boxes` are not used."""
        found = []
        for image in checked_images(images):
            scores = self.network(normalise(self._fitted(image)[None]).to(self.device))[0]
            height, width = fitting_size(image.shape[:2], self.image_size)
            found.append(self.readout.annotation(scores[:, :height, :width], (image.shape[0], image.shape[1])))
        return found

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        """The resized image in the upper left corner of a picture of the mean colour."""
        height, width = fitting_size(image.shape[:2], self.image_size)
        picture = np.empty((padded(height), padded(width), 3), dtype=np.uint8)
        picture[:] = np.round(MEAN)
        picture[:height, :width] = resized(image, (height, width))
        return picture

    def to_dict(self) -> dict[str, Any]:
        """As in `DownstreamModel`."""
        return {
            "name": self.name,
            "task": self.readout.task,
            "image_size": self.image_size,
            "categories": categories_to_dicts(self.categories),
            "readout": asdict(self.readout),
            "model": self.network.model.config.to_dict(),
        }

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """As in `DownstreamModel`."""
        return cls(
            AutoConfig.for_model(**description["model"]),
            readout_class(description["task"])(**description["readout"]),
            name=description["name"],
            image_size=int(description["image_size"]),
            categories=categories_from_dicts(description["categories"]),
        )


class DenseNetworkWithLoss(nn.Module):
    """A network with its readout's loss, as the Trainer expects it."""

    def __init__(self, network: SegmentationNetwork, readout: Readout):
        super().__init__()
        self.network, self.readout = network, readout

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """The `loss` of normalised images B x 3 x H x W."""
        return {"loss": self.network.loss(images, targets, self.readout.loss)}

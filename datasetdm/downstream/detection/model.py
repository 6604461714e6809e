"""A detector: built, trained, and used to find the objects of images."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import mmcv.ops
import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS as MMDET_MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category
from datasetdm.downstream.architectures.detection import ModelConfig, canvas_side
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.detection.backbone import load_pretrained
from datasetdm.downstream.detection.runner import quieten, run_runner
from datasetdm.downstream.model import DownstreamModel, categories_from_dicts, categories_to_dicts
from datasetdm.downstream.registry import find_model
from datasetdm.downstream.sources import Labelled
from datasetdm.downstream.weights import weights_file
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.utils.devices import choose_device
from datasetdm.utils.images import checked_images

log = logging.getLogger(__name__)


class Detector(DownstreamModel):
    """A detector of mmdet.

    Args:
        architecture: its configuration.
        name: value of `downstream.model`.
        image_size: longer side at which the network sees an image, in pixels.
        score_threshold: `predict` leaves out objects below it.
        categories: in label order.
    """

    network: BaseDetector

    def __init__(
        self,
        architecture: ModelConfig,
        *,
        name: str,
        image_size: int,
        score_threshold: float,
        categories: Sequence[Category],
    ):
        super().__init__(build_network(architecture), name=name, image_size=image_size, categories=categories)
        self.architecture, self.score_threshold = architecture, score_threshold

    @classmethod
    def build(cls, settings: config.Downstream, task: Task) -> Self:
        """As in `DownstreamModel`."""
        quieten()
        model = cls(
            find_model(task.name, settings.model).build(settings, len(task.categories)),
            name=settings.model,
            image_size=settings.image_size,
            score_threshold=settings.score_threshold,
            categories=task.categories,
        )
        model.network.init_weights()
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
        """As in `DownstreamModel`; the datasets are COCO files with the task's categories in their order."""
        run_runner(self.network, datasets, self.categories, settings, curve, seed=seed, device=device, resume=resume)

    @staticmethod
    def choose_device(name: str) -> torch.device:
        """The device of that name; "auto" is a GPU where mmcv was built for it.

        Raises:
            DatasetDMError: there is no such device, or mmcv was not built for it.
        """
        if mmcv.ops.get_compiling_cuda_version() != "not available":
            return choose_device(name)
        if name.startswith("cuda"):
            raise DatasetDMError(
                "mmcv was built without CUDA, so the downstream model cannot run on a GPU. Build it again with "
                "`make setup CUDA=1`, which needs the CUDA toolkit, or set device to cpu or auto."
            )
        if name == "auto" and torch.cuda.is_available():
            log.warning(
                "mmcv was built without CUDA: the downstream model runs on the CPU although there is a GPU. "
                "`make setup CUDA=1` builds it again."
            )
        return choose_device("cpu" if name == "auto" else name)

    def to(self, device: torch.device) -> Self:
        """As in `DownstreamModel`; from now on every image lies on the same square.

        In training it mostly did, as a batch is padded to its largest image. SOLOv2's grid covers the padding, too.
        """
        self.network.data_preprocessor.pad_size_divisor = canvas_side(self.image_size)
        return super().to(device)

    @torch.no_grad()
    def predict(self, images: Sequence[np.ndarray], prompt_boxes: Sequence[Any] | None = None) -> list[Instances]:
        """The objects of each image, best first, with masks at the image's size; `prompt_boxes` are not used."""
        found = []
        for image in checked_images(images):
            inputs, sample = self._prepared(image)
            (result,) = self.network.test_step({"inputs": [inputs], "data_samples": [sample]})
            found.append(self._instances(result))
        return found

    def _prepared(self, image: np.ndarray) -> tuple[torch.Tensor, DetDataSample]:
        """The image as the network sees it, uint8 3 x H x W, BGR, and what leads back to its own size."""
        height, width = image.shape[:2]
        factor = self.image_size / max(height, width)
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        resized = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR) if factor != 1 else image
        sample = DetDataSample(
            metainfo={
                "ori_shape": (height, width),
                "img_shape": size,
                "scale_factor": (size[1] / width, size[0] / height),
            }
        )
        bgr = np.ascontiguousarray(resized[..., ::-1].transpose(2, 0, 1))  # the order of cv2, in which mmdet reads
        return torch.from_numpy(bgr), sample

    def _instances(self, result: DetDataSample) -> Instances:
        found = result.pred_instances.cpu()
        found = found[found.scores >= self.score_threshold]
        found = found[found.scores.argsort(descending=True, stable=True)]
        return Instances.of(found.masks.numpy(), found.labels.numpy(), found.scores.numpy())

    def to_dict(self) -> dict[str, Any]:
        """As in `DownstreamModel`."""
        return {
            "name": self.name,
            "image_size": self.image_size,
            "score_threshold": self.score_threshold,
            "categories": categories_to_dicts(self.categories),
            "model": self.architecture,
        }

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """As in `DownstreamModel`."""
        return cls(
            description["model"],
            name=description["name"],
            image_size=description["image_size"],
            score_threshold=description["score_threshold"],
            categories=categories_from_dicts(description["categories"]),
        )


def build_network(architecture: ModelConfig) -> BaseDetector:
    """A detector whose weights are not initialised yet (`init_weights` does that)."""
    register_all_modules()
    return MMDET_MODELS.build(ConfigDict(architecture))

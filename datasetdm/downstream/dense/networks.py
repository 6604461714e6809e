"""Networks of transformers that score every pixel, behind one interface: scores, loss, backbone.

They are built from configurations and never downloaded from a hub.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoModelForDepthEstimation,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import logging as transformers_logging

from datasetdm.annotations.semantic_map import IGNORE

# Reports on every backbone that is loaded, and a progress bar of a few milliseconds.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

PixelLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class SegmentationNetwork(nn.Module):
    """A network that scores every pixel, such as UperNet and SegFormer; with one channel it is a regressor.

    Args:
        architecture: transformers' configuration; weights are initialised at random.
    """

    factory: ClassVar[Any] = AutoModelForSemanticSegmentation

    def __init__(self, architecture: PreTrainedConfig):
        super().__init__()
        self.model = self.factory.from_config(architecture)

    @property
    def backbone(self) -> PreTrainedModel:
        """The part that can start from pretrained weights."""
        return self.model.get_submodule(BACKBONES[self.model.config.model_type])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores B x C x H x W of normalised images B x 3 x H x W, sides divisible by 32."""
        return _at_size(self.model(images).logits, images)

    def loss(self, images: torch.Tensor, targets: torch.Tensor, pixel_loss: PixelLoss) -> torch.Tensor:
        """The loss of a batch against a readout's targets."""
        return pixel_loss(self(images).float(), targets)


class DepthNetwork(SegmentationNetwork):
    """A network that ends in a sigmoid of one channel, such as GLPN; its score is the number before the sigmoid."""

    factory: ClassVar[Any] = AutoModelForDepthEstimation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores B x 1 x H x W."""
        return _at_size(self.model(images).predicted_depth[:, None].logit(eps=1e-6), images)


class MaskNetwork(SegmentationNetwork):
    """Mask2Former (Cheng et al., arXiv 2112.01527): it predicts masks, each with a class, and has its own loss."""

    factory: ClassVar[Any] = AutoModelForUniversalSegmentation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores B x C x H x W: logarithms, so that a softmax of them shares a pixel out among the classes."""
        outputs = self.model(images)
        classes = outputs.class_queries_logits.softmax(dim=-1)[..., :-1]
        masks = _at_size(outputs.masks_queries_logits, images).sigmoid()
        return torch.einsum("bqc,bqhw->bchw", classes, masks).clamp(min=1e-8).log()

    def loss(self, images: torch.Tensor, targets: torch.Tensor, pixel_loss: PixelLoss) -> torch.Tensor:
        """The set loss against one mask per category in an image; `pixel_loss` is not used.

        transformers' loss does not take a mask of valid pixels: for this model, `IGNORE` means "none of these".
        """
        labels = [labels[labels != IGNORE] for labels in map(torch.unique, targets)]
        masks = [
            (image[None] == present[:, None, None]).float() for image, present in zip(targets, labels, strict=True)
        ]
        return self.model(images, mask_labels=masks, class_labels=labels).loss.squeeze()


def _at_size(scores: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return F.interpolate(scores, size=images.shape[-2:], mode="bilinear", align_corners=False)


#: transformers' type of model -> the class for it, and the path of the backbone within transformers' model.
NETWORKS: dict[str, type[SegmentationNetwork]] = {
    "upernet": SegmentationNetwork,
    "segformer": SegmentationNetwork,
    "mask2former": MaskNetwork,
    "glpn": DepthNetwork,
}
BACKBONES = {
    "upernet": "backbone",
    "segformer": "segformer",
    "mask2former": "model.pixel_level_module.encoder",
    "glpn": "glpn",
}


def build_network(architecture: PreTrainedConfig) -> SegmentationNetwork:
    """A network of an architecture, with random weights; KeyError where the architecture is of another type."""
    return NETWORKS[architecture.model_type](architecture)

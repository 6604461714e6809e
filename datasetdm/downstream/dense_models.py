"""Networks for dense annotation, and how their scores become a semantic map or a depth map.

The networks are transformers' own, built from configurations (never fetched from a hub). Each gives every pixel
scores, B x C x H x W; a readout, one per task, says what the C channels mean and how they are learnt.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoModelForDepthEstimation,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
    GLPNConfig,
    Mask2FormerConfig,
    PreTrainedConfig,
    PreTrainedModel,
    ResNetConfig,
    SegformerConfig,
    SwinConfig,
    UperNetConfig,
)
from transformers import logging as transformers_logging

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.downstream.weights import read_weights, refuse, weights_file
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.depth import counted_mask
from datasetdm.tasks.base import Task
from datasetdm.tasks.losses.depth_loss import log_depth, scale_invariant_loss

# Reports on every backbone that is loaded, and a progress bar of a few milliseconds.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

HARDEST_SHARE = 0.2  # of the pixels of a batch, from which a semantic network learns

STAGES = ["stage1", "stage2", "stage3", "stage4"]

PixelLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Readout(Protocol):
    """What the scores of a task mean. Instances are frozen dataclasses of plain numbers, kept in `config.json`."""

    #: How far a training view zooms out and in.
    zoom: ClassVar[tuple[float, float]]

    @property
    def channels(self) -> int:
        """Scores per pixel."""

    def target(self, annotation: Any, zoom: float) -> torch.Tensor:
        """The annotation of a view, zoomed by that factor, as a tensor H x W for `loss`."""

    def fitted(self, targets: torch.Tensor) -> Self:
        """The readout adapted to the targets N x H x W of some training views."""

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of scores B x C x H x W against targets B x H x W; 0 where no pixel has a label."""

    def annotation(self, scores: torch.Tensor, size: tuple[int, int] | None = None) -> Any:
        """The annotation that scores C x H x W stand for, at `size` (height, width), or as large as they are."""


@dataclass(frozen=True)
class SemanticReadout:
    """One score per category: logits of a softmax, learnt by cross entropy of the hardest pixels.

    Most pixels are background and soon known; a mean over all of them lets a short training end with nothing else
    (bootstrapped cross entropy with its share, as in Panoptic-DeepLab, arXiv 1911.10194).
    """

    num_classes: int
    zoom: ClassVar[tuple[float, float]] = (0.75, 1.5)

    @classmethod
    def of(cls, task: Task) -> "SemanticReadout":
        """The readout for a task's categories."""
        return cls(num_classes=len(task.categories))

    @property
    def channels(self) -> int:
        """One per category."""
        return self.num_classes

    def target(self, annotation: SemanticMap, zoom: float) -> torch.Tensor:
        """Labels, int64; `IGNORE` (255) where a pixel is not learnt."""
        return torch.from_numpy(annotation.labels.astype(np.int64))

    def fitted(self, targets: torch.Tensor) -> "SemanticReadout":
        """As it is."""
        return self

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross entropy, the mean over the hardest fifth of the labelled pixels of the batch."""
        losses = F.cross_entropy(scores, targets, ignore_index=IGNORE, reduction="none")
        known = losses[targets != IGNORE]
        hardest = known.topk(math.ceil(HARDEST_SHARE * len(known))).values
        return hardest.sum() / max(1, len(hardest))

    def annotation(self, scores: torch.Tensor, size: tuple[int, int] | None = None) -> SemanticMap:
        """The likeliest category of every pixel, and how likely it is (softmax).

        One category is enlarged at a time: all at once, a photograph of 12 megapixels takes gigabytes.
        """
        best = _enlarged(scores[0], size)
        labels = torch.zeros_like(best, dtype=torch.uint8)
        for label in range(1, len(scores)):
            score = _enlarged(scores[label], size)
            labels[score > best] = label
            best = torch.maximum(best, score)
        total = torch.zeros_like(best)
        for plane in scores:
            total += (_enlarged(plane, size) - best).exp_()
        return SemanticMap(labels=labels.cpu().numpy(), confidence=total.reciprocal_().cpu().numpy())


@dataclass(frozen=True)
class DepthReadout:
    """One score per pixel, whose sigmoid is the share of `max_depth`, as in the P-Decoder and in GLPN.

    Attributes:
        min_depth: metres; nearer pixels are neither learnt nor predicted.
        max_depth: metres; farther ones neither.
        typical_depth: metres; what a score of 0 stands for. A fresh network says it everywhere: its loss hardly tells
            it that the scale is wrong, and the way from half of `max_depth` would take most of a short training.
    """

    min_depth: float
    max_depth: float
    typical_depth: float
    zoom: ClassVar[tuple[float, float]] = (0.5, 2.0)

    @classmethod
    def of(cls, task: Task) -> "DepthReadout":
        """The readout for the range of a task's settings."""
        low, high = task.settings.min_depth, task.settings.max_depth
        return cls(min_depth=low, max_depth=high, typical_depth=high / 2)

    @property
    def channels(self) -> int:
        """One."""
        return 1

    def target(self, annotation: DepthMap, zoom: float) -> torch.Tensor:
        """Metres, float32; 0 where a pixel is not learnt: unknown, or out of range.

        What is seen twice as large stands, for a camera that does not change, at half the distance.
        """
        nearer = replace(annotation, depth=annotation.depth / np.float32(zoom))
        return torch.from_numpy(np.where(counted_mask(nearer, self.min_depth, self.max_depth), nearer.depth, 0))

    def fitted(self, targets: torch.Tensor) -> "DepthReadout":
        """With the geometric mean of what is known of the targets as typical depth."""
        known = targets[targets > 0]
        return replace(self, typical_depth=float(known.double().log().mean().exp())) if len(known) else self

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The scale-invariant logarithmic loss over the known pixels of each image."""
        return scale_invariant_loss(self._log_depth(scores[:, 0]), list(targets), list(targets > 0))

    def annotation(self, scores: torch.Tensor, size: tuple[int, int] | None = None) -> DepthMap:
        """Metres within the range, known all over."""
        depth = self._log_depth(_enlarged(scores[0], size)).exp().clamp(self.min_depth, self.max_depth).cpu().numpy()
        return DepthMap(depth=depth, valid_mask=np.ones(depth.shape, dtype=bool))

    def _log_depth(self, scores: torch.Tensor) -> torch.Tensor:
        share = min(self.typical_depth / self.max_depth, 0.99)
        return log_depth(scores + math.log(share / (1 - share)), self.max_depth)


def _enlarged(plane: torch.Tensor, size: tuple[int, int] | None) -> torch.Tensor:
    """A plane H x W at `size`."""
    if size is None:
        return plane
    return F.interpolate(plane[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


#: Task name -> readout, which `of(task)` makes.
READOUTS: dict[str, type[SemanticReadout] | type[DepthReadout]] = {
    "semantic": SemanticReadout,
    "depth": DepthReadout,
}


class SegmentationNetwork(nn.Module):
    """A network that scores every pixel, such as UperNet and SegFormer; with one channel a dense regressor.

    Args:
        architecture: transformers' configuration; weights are initialised at random.
    """

    factory: ClassVar[Any] = AutoModelForSemanticSegmentation

    def __init__(self, architecture: PreTrainedConfig):
        super().__init__()
        self.model = self.factory.from_config(architecture)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores B x C x H x W of normalised images B x 3 x H x W, sides divisible by 32."""
        return _at_size(self.model(images).logits, images)

    def loss(self, images: torch.Tensor, targets: torch.Tensor, pixel_loss: PixelLoss) -> torch.Tensor:
        """The loss of a batch against a readout's targets."""
        return pixel_loss(self(images), targets)


class DepthNetwork(SegmentationNetwork):
    """A network that ends in a sigmoid of one channel, such as GLPN; its score is the number before the sigmoid."""

    factory: ClassVar[Any] = AutoModelForDepthEstimation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores B x 1 x H x W."""
        return _at_size(self.model(images).predicted_depth[:, None].logit(eps=1e-6), images)


class MaskNetwork(SegmentationNetwork):
    """Mask2Former (Cheng et al., arXiv 2112.01527): masks with a class each, and a loss of its own."""

    factory: ClassVar[Any] = AutoModelForUniversalSegmentation

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores B x C x H x W: logarithms, so that a softmax of them shares a pixel out among the classes."""
        outputs = self.model(images)
        classes = outputs.class_queries_logits.softmax(dim=-1)[..., :-1]
        masks = _at_size(outputs.masks_queries_logits, images).sigmoid()
        return torch.einsum("bqc,bqhw->bchw", classes, masks).clamp(min=1e-8).log()

    def loss(self, images: torch.Tensor, targets: torch.Tensor, pixel_loss: PixelLoss) -> torch.Tensor:
        """The set loss against one mask per category that an image holds; `pixel_loss` has no part in it.

        transformers' loss takes no mask of valid pixels: to this model alone `IGNORE` means "none of these".
        """
        labels = [labels[labels != IGNORE] for labels in map(torch.unique, targets)]
        masks = [
            (image[None] == present[:, None, None]).float() for image, present in zip(targets, labels, strict=True)
        ]
        return self.model(images, mask_labels=masks, class_labels=labels).loss.squeeze()


def _at_size(scores: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return F.interpolate(scores, size=images.shape[-2:], mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class ModelSpec:
    """A selectable model.

    Attributes:
        network: the interface that the architecture has.
        architecture: its configuration for a number of channels.
        backbone: path of the part within transformers' model that can start from pretrained weights.
        tasks: names of the tasks that it serves.
    """

    network: type[SegmentationNetwork]
    architecture: Callable[[int], PreTrainedConfig]
    backbone: str
    tasks: tuple[str, ...]


def _resnet18() -> ResNetConfig:
    return ResNetConfig(layer_type="basic", hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], out_features=STAGES)


def _swin(width: int, heads: list[int]) -> SwinConfig:
    """The Swin Transformer of ImageNet at 384 pixels (Liu et al., arXiv 2103.14030): B has width 128, L has 192."""
    return SwinConfig(
        image_size=384,
        window_size=12,
        embed_dim=width,
        depths=[2, 2, 18, 2],
        num_heads=heads,
        drop_path_rate=0.3,
        out_features=STAGES,
    )


def _upernet(backbone: PreTrainedConfig, width: int, channels: int) -> UperNetConfig:
    return UperNetConfig(backbone_config=backbone, hidden_size=width, use_auxiliary_head=False, num_labels=channels)


#: `upernet_r18` learns within a minute on a CPU; the others have the sizes of their papers. Mask2Former is what
#: DatasetDM trains for semantic segmentation, Swin-L the backbone that it takes for depth.
MODELS: dict[str, ModelSpec] = {
    "upernet_r18": ModelSpec(
        SegmentationNetwork,
        lambda channels: _upernet(_resnet18(), 64, channels),
        "backbone",
        ("semantic", "depth"),
    ),
    "upernet_swin-l": ModelSpec(
        SegmentationNetwork,
        lambda channels: _upernet(_swin(192, [6, 12, 24, 48]), 512, channels),
        "backbone",
        ("semantic", "depth"),
    ),
    "segformer_b0": ModelSpec(
        SegmentationNetwork,
        lambda channels: SegformerConfig(num_labels=channels),
        "segformer",
        ("semantic", "depth"),
    ),
    "mask2former_r50": ModelSpec(
        MaskNetwork,
        lambda channels: Mask2FormerConfig(backbone_config=ResNetConfig(out_features=STAGES), num_labels=channels),
        "model.pixel_level_module.encoder",
        ("semantic",),
    ),
    "mask2former_swin-b": ModelSpec(
        MaskNetwork,
        lambda channels: Mask2FormerConfig(backbone_config=_swin(128, [4, 8, 16, 32]), num_labels=channels),
        "model.pixel_level_module.encoder",
        ("semantic",),
    ),
    "glpn_small": ModelSpec(
        DepthNetwork,
        lambda channels: GLPNConfig(max_depth=1, decoder_hidden_size=32),
        "glpn",
        ("depth",),
    ),
    "glpn_nyu": ModelSpec(
        DepthNetwork,
        lambda channels: GLPNConfig(max_depth=1, hidden_sizes=[64, 128, 320, 512], depths=[3, 8, 27, 3]),
        "glpn",
        ("depth",),
    ),
}


def build_network(settings: config.Downstream, task_name: str, channels: int) -> SegmentationNetwork:
    """A network with fresh weights, those of the backbone from `settings.pretrained` where that is set.

    Raises:
        DatasetDMError: a model that is unknown or does not serve the task, or weights that are missing or do not fit.
    """
    fitting = [name for name, spec in MODELS.items() if task_name in spec.tasks]
    if settings.model not in fitting:
        raise DatasetDMError(
            f"params.yaml: downstream.model '{settings.model}' is no model for the task {task_name}. There are: "
            f"{', '.join(fitting)}."
        )
    spec = MODELS[settings.model]
    network = spec.network(spec.architecture(channels))
    if settings.pretrained is not None:
        load_backbone(network.model.get_submodule(spec.backbone), weights_file(settings.pretrained))
    return network


def load_backbone(backbone: PreTrainedModel, file: Path) -> None:
    """Fill a backbone with the weights of a safetensors file; a classifier on top is left out.

    ResNets may be named as in torchvision (`conv1.weight`, `layer1.0.bn1.running_mean`, ...); all others are named as
    in transformers, whose hub models fit as they are.

    Raises:
        DatasetDMError: the file is damaged, or holds another network.
    """
    state = {transformers_name(name): value.float() for name, value in read_weights(file).items()}
    # transformers' own loading knows how the names in files differ from those in the modules.
    filled, report = type(backbone).from_pretrained(
        None, config=backbone.config, state_dict=state, ignore_mismatched_sizes=True, output_loading_info=True
    )
    misfits = [name for name in sorted(report["missing_keys"]) if not _is_optional(name)]
    misfits += [str(mismatch) for mismatch in sorted(report["mismatched_keys"])]
    if misfits:
        raise refuse(file, misfits)
    backbone.load_state_dict(filled.state_dict())


def transformers_name(name: str) -> str:
    """The name that transformers' backbones have for a tensor of a torchvision ResNet or of a transformers model.

    >>> transformers_name("layer2.0.bn1.weight")
    'encoder.stages.1.layers.0.layer.0.normalization.weight'
    """
    kinds = {"conv": "convolution", "bn": "normalization"}
    if stem := re.fullmatch(r"(conv|bn)1\.(\w+)", name):
        return f"embedder.embedder.{kinds[stem[1]]}.{stem[2]}"
    if block := re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn)(\d)\.(\w+)", name):
        stage, layer, kind, number, tensor = block.groups()
        return f"encoder.stages.{int(stage) - 1}.layers.{layer}.layer.{int(number) - 1}.{kinds[kind]}.{tensor}"
    if shortcut := re.fullmatch(r"layer(\d)\.(\d+)\.downsample\.(\d)\.(\w+)", name):
        stage, layer, kind, tensor = shortcut.groups()
        return f"encoder.stages.{int(stage) - 1}.layers.{layer}.shortcut.{list(kinds.values())[int(kind)]}.{tensor}"
    return re.sub(r"^(resnet|segformer|glpn)\.", "", name)


def _is_optional(name: str) -> bool:
    """Counters are no weights; norms on its outputs a Swin has in dense models alone."""
    return name.endswith("num_batches_tracked") or name.startswith("hidden_states_norms")

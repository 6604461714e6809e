"""The values that travel between the rooms: samples, annotations, predictions, diffusion features."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True, kw_only=True)
class Category:
    """One class of a data set, as its annotation file has it.

    `id` is the data set's own (official, possibly non-contiguous) id; the *label* of a category, as
    used in tensors, is its index in the data set's list of categories.
    """

    id: int
    name: str
    supercategory: str = ""


@dataclass(frozen=True, kw_only=True)
class Instances:
    """Objects of one image: the annotation (scores all 1) or a prediction of the `instance` task.

    Attributes:
        masks: bool, N x H x W, visible pixels of each object.
        labels: int64, N, index into the data set's categories.
        scores: float32, N, in [0, 1].
        crowd: bool, N; a crowd region is neither learnt nor counted as a miss (COCO's `iscrowd`).
    """

    masks: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    crowd: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.masks)
        if self.masks.ndim != 3 or not (len(self.labels) == len(self.scores) == len(self.crowd) == count):
            raise ValueError("masks must be N x H x W and labels, scores, crowd of length N")

    def __len__(self) -> int:
        return len(self.masks)

    @classmethod
    def of(cls, masks: np.ndarray, labels: np.ndarray, scores: np.ndarray | None = None) -> "Instances":
        """Instances without crowds; scores default to 1."""
        count = len(masks)
        return cls(
            masks=np.asarray(masks, dtype=bool),
            labels=np.asarray(labels, dtype=np.int64),
            scores=np.ones(count, np.float32) if scores is None else np.asarray(scores, dtype=np.float32),
            crowd=np.zeros(count, dtype=bool),
        )

    @classmethod
    def empty(cls, height: int, width: int) -> "Instances":
        """No object at all."""
        return cls.of(np.zeros((0, height, width), dtype=bool), np.zeros(0, dtype=np.int64))

    def select(self, index: np.ndarray) -> "Instances":
        """The instances that `index` (boolean mask or integer indices) picks."""
        return Instances(
            masks=self.masks[index], labels=self.labels[index], scores=self.scores[index], crowd=self.crowd[index]
        )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One annotated image.

    Attributes:
        name: file name below the images folder, with suffix.
        image: uint8, H x W x 3, RGB.
        caption: the prompt that describes the image, possibly empty.
        target: the annotation, of the type that the task defines (`Instances` for `instance`).
        image_id: id in the annotation file.
    """

    name: str
    image: np.ndarray
    caption: str
    target: Any
    image_id: int = 0


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a task reads off the decoder for one image, before acceptance.

    Attributes:
        target: the predicted annotation, of the task's target type.
        score: the image's own quality score in [0, 1] (mean object score for `instance`, 0 if empty).
    """

    target: Any
    score: float


@dataclass(frozen=True)
class FeatureLevel:
    """What the backbone yields at one resolution (compare timm's `feature_info`).

    Attributes:
        stride: image pixels per feature pixel.
        channels: channels of the feature map.
        attention_layers: number of cross-attention layers captured at this resolution.
    """

    stride: int
    channels: int
    attention_layers: int


@dataclass(frozen=True)
class DiffusionFeatures:
    """Features of one U-Net pass, keyed by stride (paper section 3.2, the "hypercolumn").

    Attributes:
        maps: stride -> float, B x C x h x w.
        attention: stride -> float, B x W x L x h x w: cross-attention of each of the W asked words in
            each of the L layers, mean over heads and over the tokens of the word's occurrences in
            that image's prompt, scaled so that uniform attention is 1; zeros where the prompt does not
            hold the word. Strides without attention layers are absent.
    """

    maps: dict[int, torch.Tensor]
    attention: dict[int, torch.Tensor]

    def apply(self, function: Any) -> "DiffusionFeatures":
        """The same structure with `function` applied to every tensor."""
        return DiffusionFeatures(
            maps={stride: function(value) for stride, value in self.maps.items()},
            attention={stride: function(value) for stride, value in self.attention.items()},
        )

    @staticmethod
    def cat(parts: Sequence["DiffusionFeatures"]) -> "DiffusionFeatures":
        """Batches joined along the first axis."""
        return DiffusionFeatures(
            maps={stride: torch.cat([part.maps[stride] for part in parts]) for stride in parts[0].maps},
            attention={stride: torch.cat([part.attention[stride] for part in parts]) for stride in parts[0].attention},
        )


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Images drawn by the backbone.

    Attributes:
        latents: float, B x C x h x w, the denoised latents in the U-Net's scaling.
        features: features of the sampler's last step where they were asked for (the paper's way), else None.
    """

    latents: torch.Tensor
    features: DiffusionFeatures | None = None


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What a stage tells of itself: shown by the CLI, Dagster and MLflow alike.

    Attributes:
        metrics: plain numbers.
        pictures: files worth looking at.
        tables: title -> Markdown table.
    """

    metrics: dict[str, float] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)

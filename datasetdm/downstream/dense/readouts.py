"""Readouts: how scores per pixel, B x C x H x W, become a semantic map or a depth map, and how they are learnt.

A task has one readout. It says what the C channels mean.
"""

import math
from dataclasses import Field, dataclass, replace
from pkgutil import resolve_name
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from torch.nn import functional as F

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.evaluation.depth import counted_mask
from datasetdm.task_parts import TASKS
from datasetdm.tasks.base import Task
from datasetdm.tasks.losses.depth_loss import log_depth, scale_invariant_loss

HARDEST_SHARE = 0.2  # of the pixels of a batch: a semantic network learns from these


class Readout(Protocol):
    """What the scores of a task mean. Readouts are frozen dataclasses of plain numbers, kept in `config.json`.

    Attributes:
        task: name of the task.
        zoom: how far a training view zooms out and in.
    """

    task: ClassVar[str]
    zoom: ClassVar[tuple[float, float]]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # for mypy: readouts are dataclasses

    @property
    def channels(self) -> int:
        """Scores per pixel."""

    def target(self, annotation: Any, zoom: float) -> torch.Tensor:
        """The annotation of a view, zoomed by that factor, as a tensor for `loss`, H x W or channels x H x W."""

    def fitted(self, targets: torch.Tensor) -> Self:
        """The readout adapted to the stacked targets of some training views."""

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of scores B x C x H x W against a batch of targets; 0 where no pixel has a label."""

    def annotation(self, scores: torch.Tensor, size: tuple[int, int] | None = None) -> Any:
        """The annotation that scores C x H x W stand for, at `size` (height, width), or as large as they are."""


@dataclass(frozen=True)
class SemanticReadout:
    """One score per category: logits of a softmax, learnt by cross entropy of the hardest pixels.

    Most pixels are background and soon learnt. A mean over all of them lets a short training end with nothing else
    (bootstrapped cross entropy with its share, as in Panoptic-DeepLab, arXiv 1911.10194).
    """

    num_classes: int
    task: ClassVar[str] = "semantic"
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
        """The same readout."""
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
        typical_depth: metres; what a score of 0 stands for. A new network predicts it everywhere. The loss hardly
            penalises a wrong scale, so the way from half of `max_depth` would take most of a short training.
    """

    min_depth: float
    max_depth: float
    typical_depth: float
    task: ClassVar[str] = "depth"
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

        For the same camera, an object that appears twice as large is at half the distance.
        """
        nearer = replace(annotation, depth=annotation.depth / np.float32(zoom))
        return torch.from_numpy(np.where(counted_mask(nearer, self.min_depth, self.max_depth), nearer.depth, 0))

    def fitted(self, targets: torch.Tensor) -> "DepthReadout":
        """With the geometric mean of the known depths as typical depth."""
        known = targets[targets > 0]
        return replace(self, typical_depth=float(known.double().log().mean().exp())) if len(known) else self

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The scale-invariant logarithmic loss over the known pixels of each image."""
        return scale_invariant_loss(self._log_depth(scores[:, 0]), list(targets), list(targets > 0))

    def annotation(self, scores: torch.Tensor, size: tuple[int, int] | None = None) -> DepthMap:
        """Metres within the range, valid everywhere."""
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


def readout_class(task: str) -> type[Any]:
    """The readout of a task, which `of(task)` makes.

    Raises:
        KeyError: there is no such task.
        ValueError: networks that score every pixel do not serve it.
    """
    readout = TASKS[task].readout
    if readout is None:
        raise ValueError(f"the task {task} has no readout")
    found: type[Any] = resolve_name(readout)
    return found

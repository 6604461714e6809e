"""Surface normals out of an ordinary dense network. It would lie in `datasetdm/downstream/dense/`."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from datasetdm.tasks.base import Task
from tests.extending.normal_map import NormalMap
from tests.extending.surface_normals import cosine_loss, normal_map


@dataclass(frozen=True)
class NormalReadout:
    """Three scores per pixel, whose direction is the normal."""

    task: ClassVar[str] = "normals"
    zoom: ClassVar[tuple[float, float]] = (0.75, 1.5)

    @classmethod
    def of(cls, task: Task) -> "NormalReadout":
        """The readout."""
        return cls()

    @property
    def channels(self) -> int:
        """Three."""
        return 3

    def target(self, annotation: NormalMap, zoom: float) -> torch.Tensor:
        """Normals, float32 3 x H x W."""
        return torch.from_numpy(annotation.normals).permute(2, 0, 1)

    def fitted(self, targets: torch.Tensor) -> "NormalReadout":
        """The same readout."""
        return self

    def loss(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """See `cosine_loss`."""
        return cosine_loss(scores, targets)

    def annotation(self, scores: torch.Tensor, size: tuple[int, int] | None = None) -> NormalMap:
        """The directions of scores 3 x H x W."""
        return normal_map(scores.cpu(), size or (scores.shape[1], scores.shape[2]))

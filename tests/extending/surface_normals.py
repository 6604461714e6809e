"""Surface normals: the task, with its files, filter and metrics. It would lie in `datasetdm/tasks/`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch.nn import functional as F

from datasetdm import config
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.datasets.standard.formats import MapFormat
from datasetdm.datasets.standard.maps import MapCodec
from datasetdm.filters.base import NOTHING_ASKED, Acceptance, Filter
from datasetdm.prompts.mentions import Word
from datasetdm.tasks.base import Task
from tests.extending.normal_map import NormalMap

STEPS = 254  # of each octahedral coordinate
CLOSE = 11.25  # degrees; the share of pixels within it is usually reported
FLAT = 0.999  # mean cosine between the normals of a map and their mean


class NormalsAnnotation(config.TaskSection):
    """A unit vector for every pixel."""

    name: Literal["normals"] = "normals"


class NormalsTask(Task):
    """Annotations and predictions are `NormalMap`s; the categories are kinds of scene, for the prompts."""

    name: ClassVar[str] = "normals"
    primary_metric: ClassVar[str] = "mean_angle"
    higher_is_better: ClassVar[bool] = False
    uses_queries: ClassVar[bool] = False
    dense_channels: ClassVar[int] = 3

    @property
    def words(self) -> tuple[Word, ...]:
        """None: attention to a word says nothing about a slope."""
        return ()

    def encode(self, target: NormalMap, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """`normals` (float32, 3 x h x w): the mean direction in each cell, 0 where nothing is known."""
        planes = torch.from_numpy(target.normals).permute(2, 0, 1)[None]
        return {"normals": F.normalize(F.interpolate(planes, size=size, mode="area")[0], dim=0)}

    def loss(
        self, outputs: Mapping[str, Any], targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """`loss_normals`, see `cosine_loss`."""
        return {"loss_normals": cosine_loss(outputs["dense"], torch.stack([target["normals"] for target in targets]))}

    @torch.no_grad()
    def decode(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None = None
    ) -> list[Prediction]:
        """A normal for every pixel; the score is 1, because the decoder does not score normals."""
        return [Prediction(target=normal_map(scores, size), score=1.0) for scores in outputs["dense"].float().cpu()]


def cosine_loss(scores: torch.Tensor, normals: torch.Tensor) -> torch.Tensor:
    """1 - cosine of the angle between B x 3 x H x W scores and normals, mean over the pixels that are known."""
    known = normals.abs().sum(dim=1) > 0
    return ((1 - F.cosine_similarity(scores, normals, dim=1)) * known).sum() / known.sum().clamp(min=1)


def normal_map(scores: torch.Tensor, size: tuple[int, int]) -> NormalMap:
    """The directions of scores, 3 x h x w, at (height, width)."""
    planes = F.interpolate(scores[None], size=size, mode="bilinear", align_corners=False)[0]
    return NormalMap(normals=F.normalize(planes, dim=0).permute(1, 2, 0).contiguous().numpy())


class NormalsFormat(MapFormat):
    """Normals as 16-bit PNG: 8 bits for each octahedral coordinate (Cigolle et al., JCGT 2014); 0 is unknown."""

    def __init__(self, settings: NormalsAnnotation, categories: Sequence[Category]):
        super().__init__(categories, MapCodec(encode=to_octahedron, decode=from_octahedron, bits=16))


def to_octahedron(target: NormalMap) -> np.ndarray:
    """uint16, H x W."""
    unit = target.normals / np.abs(target.normals).sum(axis=2, keepdims=True).clip(1e-6)
    folded = (1 - np.abs(unit[..., 1::-1])) * np.copysign(1, unit[..., :2])
    flat = np.where(unit[..., 2:] < 0, folded, unit[..., :2])
    across, down = np.moveaxis(np.rint((flat + 1) / 2 * STEPS).astype(int), 2, 0)
    return np.where(target.valid_mask, 1 + across * (STEPS + 1) + down, 0).astype(np.uint16)


def from_octahedron(values: np.ndarray) -> NormalMap:
    """The map of H x W values; it comes back to within a degree."""
    codes = np.stack(np.divmod(values.astype(int) - 1, STEPS + 1), axis=2)
    flat = codes / STEPS * 2 - 1
    depth = 1 - np.abs(flat).sum(axis=2, keepdims=True)
    flat = flat - np.copysign(np.maximum(-depth, 0), flat)
    normals = np.concatenate([flat, depth], axis=2)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    return NormalMap(normals=np.where(values[..., None] > 0, normals, 0).astype(np.float32))


class NormalsFilter(Filter):
    """Keeps any map that is not flat."""

    def accept(
        self, prediction: Prediction, settings: config.Filter, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """See `Filter.accept`; `flatness` goes to the manifest."""
        flatness = float(np.linalg.norm(prediction.target.normals.mean(axis=(0, 1))))
        rejected = "all surfaces face the same way" if flatness > FLAT else None
        return Acceptance(target=prediction.target, rejected=rejected, scores={"flatness": flatness})


class AngularError:
    """`mean_angle` (degrees) and `within_11_25` (share of pixels), over the known pixels of all images."""

    def __init__(self, settings: NormalsAnnotation, categories: Sequence[Category]):
        self._angles: list[np.ndarray] = []

    def add(self, target: NormalMap, predicted: NormalMap) -> None:
        """Add one image."""
        cosines = (target.normals * predicted.normals).sum(axis=2)[target.valid_mask]
        self._angles.append(np.degrees(np.arccos(cosines.clip(-1, 1))))

    def compute(self) -> dict[str, float]:
        """NaN if no pixel is known."""
        angles = np.concatenate([*self._angles, np.zeros(0)])
        if not angles.size:
            return {"mean_angle": math.nan, "within_11_25": math.nan}
        return {"mean_angle": float(angles.mean()), "within_11_25": float((angles < CLOSE).mean())}


def mean_normal(settings: NormalsAnnotation, targets: Iterable[NormalMap]) -> Any:
    """The baseline: the mean direction of the training maps, everywhere."""
    mean = np.sum([target.normals.sum(axis=(0, 1)) for target in targets], axis=0)
    mean = (mean / np.linalg.norm(mean)).astype(np.float32)
    return lambda size, boxes: NormalMap(normals=np.tile(mean, (*size, 1)))

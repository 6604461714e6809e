"""Depth: metres from the camera for every pixel."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap, counted_mask
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.prompts.mentions import Word
from datasetdm.tasks.base import Task
from datasetdm.tasks.losses.depth_loss import log_depth, scale_invariant_loss


class DepthTask(Task):
    """Annotations and predictions are `DepthMap`s.

    The categories are kinds of scene, for prompts and for the choice of images. The decoder does not read their
    attention: "kitchen" is everywhere in a kitchen and says nothing about distances.

    Args:
        categories: kinds of scene.
        settings: the range of depths that counts, and the part of the image that is evaluated.
    """

    name: ClassVar[str] = "depth"
    primary_metric: ClassVar[str] = "abs_rel"
    higher_is_better: ClassVar[bool] = False
    uses_queries: ClassVar[bool] = False
    dense_channels: ClassVar[int] = 1

    def __init__(self, categories: Sequence[Category], settings: config.DepthAnnotation | None = None):
        settings = settings or config.DepthAnnotation()
        super().__init__(categories, settings)
        self.min_depth, self.max_depth = settings.min_depth, settings.max_depth

    @property
    def words(self) -> tuple[Word, ...]:
        """None."""
        return ()

    def encode(self, target: DepthMap, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """`depth` (float32, h x w, metres: the mean over the pixels of a cell that count) and `valid_mask` (bool,
        h x w: whether any pixel of the cell counts). Pixels count if their depth is known and within the range.
        """
        counted = torch.from_numpy(counted_mask(target, self.min_depth, self.max_depth)).to(torch.float32)
        metres = torch.from_numpy(target.depth) * counted
        total, share = F.interpolate(torch.stack([metres, counted])[None], size=size, mode="area")[0]
        return {"depth": total / share.clamp(min=torch.finfo(share.dtype).tiny), "valid_mask": share > 0}

    def loss(
        self, outputs: Mapping[str, Any], targets: Sequence[Mapping[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """`loss_depth`, the scale-invariant logarithmic loss."""
        predicted = log_depth(outputs["dense"][:, 0], self.max_depth)
        depth, valid = [target["depth"] for target in targets], [target["valid_mask"] for target in targets]
        return {"loss_depth": scale_invariant_loss(predicted, depth, valid)}

    @torch.no_grad()
    def decode(
        self, outputs: Mapping[str, Any], size: tuple[int, int], allowed: Sequence[Sequence[int]] | None = None
    ) -> list[Prediction]:
        """The depth of every pixel, within the range. The score is 1, because the decoder does not score depth.

        `allowed` has no meaning here: depth has no classes.
        """
        logs = log_depth(outputs["dense"].float().cpu(), self.max_depth)
        metres = F.interpolate(logs.exp(), size=size, mode="bilinear", align_corners=False)[:, 0]
        return [
            Prediction(target=DepthMap(depth=depth.numpy(), valid_mask=np.ones(size, dtype=bool)), score=1.0)
            for depth in metres.clamp(min=self.min_depth)
        ]

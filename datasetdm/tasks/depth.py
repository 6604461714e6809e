"""Depth: metres from the camera for every pixel."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Category, Prediction, Sample
from datasetdm.datasets.standard.depth_png import depth_codec
from datasetdm.datasets.standard.maps import MapSplit, load_maps, save_maps
from datasetdm.errors import DatasetDMError
from datasetdm.evaluation.depth import DepthEvaluator, RowPrior, counted_mask
from datasetdm.tasks.base import NOTHING_ASKED, Acceptance, Guess, Task, with_categories
from datasetdm.tasks.drawing import enlarge
from datasetdm.tasks.losses.depth_loss import log_depth, scale_invariant_loss

FLAT = 1e-3  # a map whose farthest and nearest pixel differ by less than this share has seen nothing


class DepthTask(Task):
    """Depth as `DepthMap`: the target of a sample and what is predicted for it.

    The categories are kinds of scene. They serve prompts and the choice of images; the decoder does not read their
    attention, as "kitchen" lies everywhere in a kitchen and says nothing of distances.

    Args:
        categories: kinds of scene.
        settings: the depths that count, and the part of the image that is evaluated.
    """

    name: ClassVar[str] = "depth"
    primary_metric: ClassVar[str] = "abs_rel"
    higher_is_better: ClassVar[bool] = False
    uses_queries: ClassVar[bool] = False
    dense_channels: ClassVar[int] = 1

    def __init__(self, categories: Sequence[Category], settings: config.DepthAnnotation | None = None):
        settings = settings or config.DepthAnnotation()
        if settings.min_depth >= settings.max_depth:
            raise DatasetDMError(
                f"`task.min_depth` {settings.min_depth:g} in params.yaml has to be smaller than `task.max_depth` "
                f"{settings.max_depth:g}."
            )
        super().__init__(categories, settings)
        self.min_depth, self.max_depth = settings.min_depth, settings.max_depth
        self._codec = depth_codec(self.max_depth)

    @property
    def words(self) -> tuple[str, ...]:
        """None."""
        return ()

    # --- files

    def load(self, folder: Path, subset: str) -> MapSplit:
        """The samples of `<folder>/annotations/<subset>.json` with images in `images/` and depth in `maps/`."""
        return with_categories(load_maps(folder, subset, self._codec), self.categories)

    def save(self, folder: Path, subset: str, samples: Iterable[Sample]) -> None:
        """Write 16-bit PNG, in millimetres or, where `max_depth` is above 65.535 m, in metres x 256, with their list.

        Images are written where they are not there yet. See `depth_codec`.
        """
        save_maps(folder, subset, samples, self.categories, self._codec)

    def check(self, folder: Path, subset: str) -> dict[str, int]:
        """Read all of a subset; counts of `images` and of `known_pixels`, whose depth is between the bounds.

        Raises:
            DatasetDMError: what the loader refuses, or a map without any such pixel.
        """
        counts = {"images": 0, "known_pixels": 0}
        split = self.load(folder, subset)
        for sample in split:
            known = int(counted_mask(sample.target, self.min_depth, self.max_depth).sum())
            if not known:
                raise DatasetDMError(
                    f"{split.annotation_file}: the depth map of {sample.name} holds nothing between {self.min_depth:g} "
                    f"and {self.max_depth:g} m: check `task.min_depth` and `task.max_depth` in params.yaml."
                )
            counts["images"] += 1
            counts["known_pixels"] += known
        return counts

    # --- geometry

    def warp(self, target: DepthMap, matrix: np.ndarray, size: tuple[int, int]) -> DepthMap:
        """See `Task.warp`; what was outside the map is unknown. The depths themselves stay as they are."""
        height, width = size
        # Unknown pixels travel as 0, which no depth is, so that one map moves both.
        metres = np.where(target.valid_mask, target.depth, np.float32(0))
        moved = cv2.warpAffine(metres, matrix, (width, height), flags=cv2.INTER_NEAREST)
        return DepthMap(depth=moved, valid_mask=moved > 0)

    def zoomed(self, target: DepthMap, factor: float) -> DepthMap:
        """What looks larger is nearer (Eigen et al., arXiv 1406.2283, section 3.3)."""
        return DepthMap(depth=target.depth / np.float32(factor), valid_mask=target.valid_mask)

    def merge(self, targets: Sequence[DepthMap]) -> DepthMap:
        """Every pixel from the first part that knows it."""
        depth, known = targets[0].depth.copy(), targets[0].valid_mask.copy()
        for target in targets[1:]:
            new = target.valid_mask & ~known
            depth[new] = target.depth[new]
            known |= new
        return DepthMap(depth=depth, valid_mask=known)

    # --- learning

    def encode(self, target: DepthMap, size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """`depth` (float32, h x w, metres: mean over the pixels of a cell that count) and `valid_mask` (bool: any do).

        Those count that are known and between the bounds.
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
        """Depth of every pixel, between the bounds; the score is 1, as the decoder says nothing of its certainty.

        `allowed` has no meaning here: depth has no classes.
        """
        logs = log_depth(outputs["dense"].float().cpu(), self.max_depth)
        metres = F.interpolate(logs.exp(), size=size, mode="bilinear", align_corners=False)[:, 0]
        return [
            Prediction(target=DepthMap(depth=depth.numpy(), valid_mask=np.ones(size, dtype=bool)), score=1.0)
            for depth in metres.clamp(min=self.min_depth)
        ]

    # --- judging

    def accept(
        self, prediction: Prediction, settings: config.Synthesis, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """Any map that is finite and not flat; `median_depth` and `depth_range` (metres) go to the manifest."""
        depth = prediction.target.depth[prediction.target.valid_mask]
        if not (depth.size and np.isfinite(depth).all()):
            scores = {"median_depth": math.nan, "depth_range": math.nan}
            return Acceptance(target=prediction.target, rejected="depth is not finite", scores=scores)
        median, extent = float(np.median(depth)), float(depth.max() - depth.min())
        rejected = "depth is the same everywhere" if extent < FLAT * median else None
        return Acceptance(
            target=prediction.target, rejected=rejected, scores={"median_depth": median, "depth_range": extent}
        )

    def evaluator(self) -> DepthEvaluator:
        """Absolute relative error and the rest of the field's measures, within the bounds and the crop."""
        return DepthEvaluator(min_depth=self.min_depth, max_depth=self.max_depth, crop=self.settings.crop)

    def baseline(self, targets: Iterable[DepthMap]) -> Guess:
        """The mean depth of each image row."""
        prior = RowPrior(min_depth=self.min_depth, max_depth=self.max_depth).fit(targets)
        return lambda size, hint: prior.predict(size)

    def draw(self, image: np.ndarray, target: DepthMap) -> np.ndarray:
        """The image and its depth side by side, near in warm and far in cold colours, unknown in black."""
        return np.concatenate([enlarge(image), enlarge(colour_depth(target))], axis=1)


def colour_depth(target: DepthMap) -> np.ndarray:
    """Depth as a picture, uint8 H x W x 3: from red (nearest) to blue (farthest), black where it is not known.

    The colours follow the inverse of the depth, which shows the ground in front as well as what is far away.
    """
    known = target.valid_mask & np.isfinite(target.depth) & (target.depth > 0)
    picture = np.zeros((*known.shape, 3), dtype=np.uint8)
    if known.any():
        nearness = 1 / target.depth[known]
        far, near = np.percentile(nearness, (2, 98))  # a few outliers must not take up all the colours
        level = np.clip((nearness - far) / max(near - far, 1e-9), 0, 1)
        colours = cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_TURBO)
        picture[known] = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB).reshape(-1, 3)
    return picture

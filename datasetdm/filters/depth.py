"""Filter of predicted depth maps."""

import math
from collections.abc import Mapping

import numpy as np

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.sample import Prediction
from datasetdm.filters.base import NOTHING_ASKED, Acceptance, Filter

FLAT = 1e-3  # a map is flat if its farthest and nearest pixel differ by less than this share of the median


class DepthFilter(Filter):
    """Keeps any map that is finite and not flat; the decoder does not score depth."""

    def accept(
        self, prediction: Prediction, settings: config.Filter, asked: Mapping[int, int | None] = NOTHING_ASKED
    ) -> Acceptance:
        """See `Filter.accept`; `median_depth` and `depth_range` (metres) go to the manifest."""
        depth = prediction.target.depth[prediction.target.valid_mask]
        if not (depth.size and np.isfinite(depth).all()):
            scores = {"median_depth": math.nan, "depth_range": math.nan}
            return Acceptance(target=_finite(prediction.target), rejected="depth is not finite", scores=scores)
        median, extent = float(np.median(depth)), float(depth.max() - depth.min())
        rejected = "depth is the same everywhere" if extent < FLAT * median else None
        return Acceptance(
            target=prediction.target, rejected=rejected, scores={"median_depth": median, "depth_range": extent}
        )


def _finite(target: DepthMap) -> DepthMap:
    """The map with unknown pixels where its depth is no number, so that it can be written to a file."""
    known = target.valid_mask & np.isfinite(target.depth) & (target.depth > 0)
    return DepthMap(depth=np.where(known, target.depth, np.float32(0)), valid_mask=known)

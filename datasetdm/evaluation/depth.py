"""The standard metrics of depth estimation (Eigen et al., arXiv 1406.2283)."""

import math
from typing import Literal

import numpy as np

from datasetdm.annotations.depth_map import DepthMap, counted_mask

Crop = Literal["none", "garg", "eigen"]
METRICS = ("abs_rel", "rmse", "delta1", "delta2", "delta3", "log10", "si_log")
DELTA = 1.25  # a pixel counts for delta k if prediction and truth differ by less than the factor 1.25^k

# (top, bottom, left, right) as shares of height and width.
GARG = (0.40810811, 0.99189189, 0.03594771, 0.96405229)  # arXiv 1603.04992, on KITTI
EIGEN_KITTI = (0.3324324, 0.91351351, 0.0359477, 0.96405229)
EIGEN_NYU = (45 / 480, 471 / 480, 41 / 640, 601 / 640)
STREET_SHAPE = 2.0  # KITTI's images are 3.3 times as wide as high, NYU's 1.3 times


class DepthEvaluator:
    """Depth metrics per image, then their mean over the images.

    Args:
        min_depth: metres; true pixels nearer than that are not counted, predictions are raised to it.
        max_depth: metres; true pixels farther than that are not counted, predictions are lowered to it.
        crop: the part of the image that counts, see `crop_mask`.
    """

    def __init__(self, *, min_depth: float, max_depth: float, crop: Crop):
        self.min_depth, self.max_depth, self.crop = min_depth, max_depth, crop
        self._images: list[dict[str, float]] = []

    def add(self, target: DepthMap, predicted: DepthMap) -> None:
        """Add one image. An image without a true pixel that counts is skipped.

        Pixels without a finite prediction get `min_depth`, so that gaps never pay.

        Raises:
            ValueError: the maps differ in size.
        """
        if target.depth.shape != predicted.depth.shape:
            raise ValueError(f"depth of {predicted.depth.shape} cannot be judged by {target.depth.shape}")
        counted = counted_mask(target, self.min_depth, self.max_depth) & crop_mask(target.depth.shape, self.crop)
        if not counted.any():
            return
        given = predicted.valid_mask & np.isfinite(predicted.depth)
        guess = np.where(given, predicted.depth, 0).clip(self.min_depth, self.max_depth)
        self._images.append(depth_metrics(target.depth[counted], guess[counted]))

    def compute(self) -> dict[str, float]:
        """The metrics of `depth_metrics`, mean over the images; NaN if no image could be judged."""
        if not self._images:
            return dict.fromkeys(METRICS, math.nan)
        return {name: float(np.mean([image[name] for image in self._images])) for name in METRICS}


def depth_metrics(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """The measures of one image.

    Args:
        truth: metres above 0, one per pixel that counts.
        guess: metres above 0, the same pixels.

    Returns:
        `abs_rel` (mean of |guess - truth| / truth), `rmse` (metres), `delta1|2|3` (share of pixels within the factor
        1.25, 1.25^2, 1.25^3; higher is better), `log10` (mean difference of the logarithms) and `si_log` (KITTI's
        SILog: spread of the difference of the natural logarithms, x 100).
    """
    truth, guess = truth.astype(np.float64), guess.astype(np.float64)
    error = guess - truth
    log_error = np.log(guess) - np.log(truth)
    ratio = np.exp(np.abs(log_error))
    return {
        "abs_rel": float(np.mean(np.abs(error) / truth)),
        "rmse": math.sqrt(np.mean(error**2)),
        **{f"delta{power}": float(np.mean(ratio < DELTA**power)) for power in (1, 2, 3)},
        "log10": float(np.mean(np.abs(log_error)) / math.log(10)),
        "si_log": 100 * float(np.std(log_error)),
    }


def crop_mask(size: tuple[int, ...], crop: Crop) -> np.ndarray:
    """bool, H x W: the part of an image of (height, width) that is evaluated.

    The crops were published for one image size each and are applied here in the same proportions. `eigen` stands for
    two, one per data set. The shape of the image decides: if it is wider than `STREET_SHAPE` : 1, it is KITTI's.
    """
    height, width = size
    mask = np.zeros((height, width), dtype=bool)
    shares = {
        "none": (0.0, 1.0, 0.0, 1.0),
        "garg": GARG,
        "eigen": EIGEN_KITTI if width > STREET_SHAPE * height else EIGEN_NYU,
    }[crop]
    # To the nearest pixel below, as published; the small number keeps 45 / 480 x 480 from becoming 44.
    top, bottom, left, right = (
        int(share * side + 1e-6) for share, side in zip(shares, (height, height, width, width), strict=True)
    )
    mask[top:bottom, left:right] = True
    return mask

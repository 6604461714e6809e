"""Keypoints as heatmaps and back: one Gaussian per keypoint, its peak at the keypoint (arXiv 1406.2984)."""

import numpy as np
import torch


def to_cells(points: np.ndarray, size: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Points (... x 2: x, y) of an image of (height, width) on a grid of (height, width) cells that covers it.

    Whole numbers are centres, of pixels as of cells. With the sizes exchanged this leads back.
    """
    factors = np.array([cells[1] / size[1], cells[0] / size[0]])
    return (points + 0.5) * factors - 0.5


def draw_gaussians(points: np.ndarray, cells: tuple[int, int], sigma: float) -> np.ndarray:
    """Bells of height 1 around points.

    Args:
        points: ... x 2 (x, y), in cells; whole numbers are centres.
        cells: (height, width) of the grid.
        sigma: in cells.

    Returns:
        float32, ... x height x width, in [0, 1].
    """
    x, y = (points[..., axis, None].astype(np.float32) for axis in (0, 1))
    across = np.exp(-((np.arange(cells[1], dtype=np.float32) - x) ** 2) / (2 * sigma**2))
    down = np.exp(-((np.arange(cells[0], dtype=np.float32) - y) ** 2) / (2 * sigma**2))
    return down[..., :, None] * across[..., None, :]


def find_peaks(heatmaps: np.ndarray, region: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The highest cell of each heatmap, refined to where a Gaussian through it and its neighbours has its top.

    Args:
        heatmaps: float, K x h x w.
        region: bool, h x w with at least one True: cells in which a peak may lie; None: all.

    Returns:
        Points (float32, K x 2: x, y in cells) and heights (float32, K, cut to [0, 1]).
    """
    allowed = heatmaps if region is None else np.where(region, heatmaps, -np.inf)
    number, (height, width) = len(heatmaps), heatmaps.shape[1:]
    rows, columns = np.divmod(allowed.reshape(number, -1).argmax(axis=1), width)
    # The logarithm of a Gaussian is a parabola; what is hardly above 0 has none that means anything.
    padded = np.log(np.pad(heatmaps, ((0, 0), (1, 1), (1, 1)), mode="edge").clip(1e-4))
    channel = np.arange(number)
    middle = padded[channel, rows + 1, columns + 1]
    x = _offset(padded[channel, rows + 1, columns], middle, padded[channel, rows + 1, columns + 2])
    y = _offset(padded[channel, rows, columns + 1], middle, padded[channel, rows + 2, columns + 1])
    x[(columns == 0) | (columns == width - 1)] = 0  # no neighbour on one side
    y[(rows == 0) | (rows == height - 1)] = 0
    points = np.stack([columns + x, rows + y], axis=1).astype(np.float32)
    return points, heatmaps[channel, rows, columns].clip(0, 1).astype(np.float32)


def _offset(before: np.ndarray, middle: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Top of the parabola through three neighbours, at most half a cell from the middle one."""
    bend = before - 2 * middle + after
    return np.where(bend < -1e-6, (before - after) / np.minimum(2 * bend, -1e-6), 0).clip(-0.5, 0.5)


def heatmap_loss(predicted: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, sigma: float) -> torch.Tensor:
    """Weighted squared error over the volume of the Gaussians: 0.5 for a prediction of nothing, 0 for a perfect one.

    The mean over all cells, as usual for crops of one person, would be next to nothing where the persons are small.

    Args:
        predicted: float, B x K x h x w.
        target: the same shape, in [0, 1].
        weight: the same shape or B x K x 1 x 1; 0 where nothing is known.
        sigma: of the Gaussians, in cells; a batch without keypoints counts as one with a single person.
    """
    squared = (weight * (predicted - target) ** 2).sum()
    one_person = target.shape[1] * 2 * torch.pi * sigma**2
    return squared / (weight * target).sum().clamp(min=one_person)

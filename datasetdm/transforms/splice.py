"""Image splicing: several annotated images side by side as one (paper section 3.4).

Generated images show few objects in the middle; a splice shows many, at the borders and in small, and
its annotation stays exact, since a tile is only moved (and shrunk where the splice would get too large).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.attribution import joined
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.transforms.geometry import resize_matrix, resized

Grid = tuple[int, int]


@dataclass(frozen=True)
class SplicePlan:
    """What one spliced image is made of.

    Attributes:
        grid: (rows, columns).
        indices: the samples used, row by row.
        name: file name of the splice.
    """

    grid: Grid
    indices: tuple[int, ...]
    name: str


def plan_splices(
    num_images: int, proportions: Mapping[str, float], num_samples: int, seed: int, *, prefix: str = "splice"
) -> list[SplicePlan]:
    """Decide which samples go into which splice.

    The grids get their shares by the largest remainder, so that the paper's proportions hold as exactly as
    whole images allow. No sample comes twice in a splice, unless there are fewer samples than tiles; then all
    come about equally often.

    Args:
        num_images: splices wanted in all.
        proportions: grid "rows x columns" -> weight, such as {"1x2": 15, "2x2": 20}.
        num_samples: samples to draw from.
        seed: decides the draws; equal arguments give equal plans.
        prefix: how the file names start.

    Raises:
        DatasetDMError: a grid that cannot be read, weights without a positive sum, or no sample at all.
    """
    grids = [_parse_grid(key) for key in proportions]
    counts = _largest_remainder(num_images, list(proportions.values()))
    if num_images > 0 and num_samples == 0:
        raise DatasetDMError(
            "There is no image to splice: the synthetic set is empty. Lower synthesis.score_threshold, "
            "train the decoder longer, or set augmentation.num_images to 0."
        )
    rng = np.random.default_rng(seed)
    plans = []
    for grid, count in zip(grids, counts, strict=True):
        for number in range(count):
            indices = _draw(rng, num_samples, grid[0] * grid[1])
            plans.append(SplicePlan(grid, indices, f"{prefix}_{grid[0]}x{grid[1]}_{number:06d}.png"))
    return plans


def splice(samples: Sequence[Sample], grid: Grid, task: Task, *, max_size: int, name: str = "splice.png") -> Sample:
    """Put annotated images side by side.

    The size of the first sample is that of every tile. Tiles keep it, which makes their annotation a pure
    translation, unless the splice would exceed `max_size`: then all shrink by one common factor.

    Args:
        samples: rows x columns samples, row by row.
        grid: (rows, columns).
        task: knows how an annotation moves and how annotations join.
        max_size: longest side of the splice, in pixels.
        name: file name of the splice.

    Returns:
        The splice; its caption joins the distinct captions of the tiles, and its attribution is theirs.
    """
    rows, columns = grid
    if len(samples) != rows * columns:
        raise ValueError(f"a {rows} x {columns} splice takes {rows * columns} samples, not {len(samples)}")
    height, width = _tile_size(samples[0].image.shape[:2], grid, max_size)
    stripes = [_stripe(samples[columns * row : columns * (row + 1)], (height, width), task) for row in range(rows)]
    image = np.concatenate([picture for picture, _ in stripes])
    targets = [
        task.warp(target, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, height * row]]), image.shape[:2])
        for row, (_, target) in enumerate(stripes)
    ]
    captions = dict.fromkeys(sample.caption for sample in samples if sample.caption)
    return Sample(
        name=name,
        image=image,
        caption="; ".join(captions),
        target=task.merge(targets),
        attribution=joined(sample.attribution for sample in samples),
    )


def augment(
    task: Task,
    samples: Sequence[Sample],
    settings: config.Augmentation,
    *,
    prefix: str = "splice",
    part: slice = slice(None),
) -> Iterator[Sample]:
    """The spliced images that the settings ask for, one at a time, all or a part; see `plan_splices` and `splice`."""
    return (spliced for spliced, _ in augment_with_rows(task, samples, settings, prefix=prefix, part=part))


def augment_with_rows(
    task: Task,
    samples: Sequence[Sample],
    settings: config.Augmentation,
    *,
    prefix: str = "splice",
    part: slice = slice(None),
) -> Iterator[tuple[Sample, dict[str, Any]]]:
    """As `augment`, each with its provenance: the names of its tiles (row by row), their boxes, the settings."""
    plans = plan_splices(settings.num_images, settings.proportions, len(samples), settings.seed, prefix=prefix)
    for number, plan in list(enumerate(plans, start=1))[part]:
        tiles = [samples[index] for index in plan.indices]
        spliced = splice(tiles, plan.grid, task, max_size=settings.max_size, name=plan.name)
        yield (
            replace(spliced, image_id=number),
            {
                "image": plan.name,
                "sources": [tile.name for tile in tiles],
                "boxes": tile_boxes(tiles[0].image.shape[:2], plan.grid, settings.max_size),
                "grid": f"{plan.grid[0]}x{plan.grid[1]}",
                "max_size": settings.max_size,
                "seed": settings.seed,
            },
        )


def tile_boxes(size: tuple[int, ...], grid: Grid, max_size: int) -> list[list[int]]:
    """Where the tiles of a splice lie, row by row: x, y, width, height in its pixels, `size` being the first one's."""
    height, width = _tile_size(size, grid, max_size)
    return [[width * column, height * row, width, height] for row in range(grid[0]) for column in range(grid[1])]


def _stripe(samples: Sequence[Sample], size: tuple[int, int], task: Task) -> tuple[np.ndarray, Any]:
    """Tiles of (height, width) side by side: their image and their joint annotation.

    Row by row, because a map is laid out once per part that is joined: in a grid of 8 x 8 sixteen times, not 64 times,
    the size of the splice.
    """
    height, width = size
    image = np.concatenate([resized(sample.image, size) for sample in samples], axis=1)
    targets = []
    for column, sample in enumerate(samples):
        matrix = resize_matrix(sample.image.shape[:2], size)
        matrix[0, 2] += width * column
        targets.append(task.warp(sample.target, matrix, (height, width * len(samples))))
    return image, task.merge(targets)


def _parse_grid(key: str) -> Grid:
    match = re.fullmatch(config.GRID, key)
    if match is None:
        raise DatasetDMError(
            f"params.yaml: augmentation.proportions has the grid '{key}'. Write rows x columns as in '2x3'."
        )
    return int(match[1]), int(match[2])


def _largest_remainder(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers that sum to `total` and are as near to the weights' shares as can be (Hamilton's method)."""
    if total == 0:
        return [0] * len(weights)
    if min(weights, default=0) < 0 or sum(weights) <= 0:
        raise DatasetDMError(
            "params.yaml: the weights in augmentation.proportions must not be negative and their sum must be positive."
        )
    shares = np.asarray(weights, dtype=np.float64) * total / sum(weights)
    counts = np.floor(shares).astype(int)
    by_remainder = np.argsort(counts - shares, kind="stable")  # ties go to the grid that is named first
    counts[by_remainder[: total - counts.sum()]] += 1
    return counts.tolist()


def _draw(rng: np.random.Generator, num_samples: int, count: int) -> tuple[int, ...]:
    rounds, rest = divmod(count, num_samples)
    draws = [rng.permutation(num_samples) for _ in range(rounds)]
    return tuple(np.concatenate([*draws, rng.choice(num_samples, rest, replace=False)]).tolist())


def _tile_size(size: tuple[int, ...], grid: Grid, max_size: int) -> tuple[int, int]:
    factor = min(1.0, max_size / (grid[0] * size[0]), max_size / (grid[1] * size[1]))
    height, width = (max(1, int(side * factor)) for side in size)
    return height, width

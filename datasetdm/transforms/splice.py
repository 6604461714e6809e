"""Image splicing: several annotated images side by side as one (paper section 3.4).

A generated image shows a few objects in its middle. A splice shows many, also small ones and some at the border. Its
annotation stays exact, because a tile is only moved (and shrunk if the splice would get too large).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from datasetdm import config
from datasetdm.annotations.annotation import Annotation, merge
from datasetdm.annotations.sample import Sample, join_attributions
from datasetdm.errors import DatasetDMError
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

    The grids get their shares by the largest remainder, so that the paper's proportions hold as exactly as whole images
    allow. A splice has no sample twice, unless there are fewer samples than tiles; then all come about equally often.

    Args:
        num_images: number of splices.
        proportions: grid "rows x columns" -> weight, such as {"1x2": 15, "2x2": 20}.
        num_samples: number of samples to choose from.
        seed: of the choice; equal arguments give equal plans.
        prefix: how the file names start.

    Raises:
        DatasetDMError: a grid that cannot be read, weights without a positive sum, or no sample at all.
    """
    grids = [_parse_grid(key) for key in proportions]
    counts = _largest_remainder(num_images, list(proportions.values()))
    if num_images > 0 and num_samples == 0:
        raise DatasetDMError(
            "There is no image to splice: the synthetic set is empty. Lower synthesis.filter.score_threshold, "
            "train the decoder longer, or set augmentation.num_images to 0."
        )
    rng = np.random.default_rng(seed)
    plans = []
    for grid, count in zip(grids, counts, strict=True):
        for number in range(count):
            indices = _choose(rng, num_samples, grid[0] * grid[1])
            plans.append(SplicePlan(grid, indices, f"{prefix}_{grid[0]}x{grid[1]}_{number:06d}.png"))
    return plans


def splice(samples: Sequence[Sample], grid: Grid, *, max_size: int, name: str = "splice.png") -> Sample:
    """Put annotated images side by side.

    Every tile has the size of the first sample, so that its annotation is only translated. If the splice would exceed
    `max_size`, all tiles shrink by one common factor.

    Args:
        samples: rows x columns samples, row by row.
        grid: (rows, columns).
        max_size: longest side of the splice, in pixels.
        name: file name of the splice.

    Returns:
        The splice; its caption joins the distinct captions of the tiles, and its attribution is theirs.
    """
    rows, columns = grid
    if len(samples) != rows * columns:
        raise ValueError(f"a {rows} x {columns} splice takes {rows * columns} samples, not {len(samples)}")
    height, width = _tile_size(samples[0].image.shape[:2], grid, max_size)
    stripes = [_stripe(samples[columns * row : columns * (row + 1)], (height, width)) for row in range(rows)]
    image = np.concatenate([picture for picture, _ in stripes])
    targets = [
        target.warp(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, height * row]]), image.shape[:2])
        for row, (_, target) in enumerate(stripes)
    ]
    captions = dict.fromkeys(sample.caption for sample in samples if sample.caption)
    return Sample(
        name=name,
        image=image,
        caption="; ".join(captions),
        target=merge(targets),
        attribution=join_attributions(sample.attribution for sample in samples),
    )


def augment(
    samples: Sequence[Sample],
    settings: config.Augmentation,
    *,
    prefix: str = "splice",
    part: slice = slice(None),
) -> Iterator[Sample]:
    """The spliced images that the settings ask for, all or a part, one at a time; see `plan_splices` and `splice`."""
    return (spliced for spliced, _ in augment_with_rows(samples, settings, prefix=prefix, part=part))


def augment_with_rows(
    samples: Sequence[Sample],
    settings: config.Augmentation,
    *,
    prefix: str = "splice",
    part: slice = slice(None),
) -> Iterator[tuple[Sample, dict[str, Any]]]:
    """As `augment`, each image with its provenance: names of its tiles (row by row), their boxes, the settings."""
    plans = plan_splices(settings.num_images, settings.proportions, len(samples), settings.seed, prefix=prefix)
    for number, plan in list(enumerate(plans, start=1))[part]:
        tiles = [samples[index] for index in plan.indices]
        spliced = splice(tiles, plan.grid, max_size=settings.max_size, name=plan.name)
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


def _stripe(samples: Sequence[Sample], size: tuple[int, int]) -> tuple[np.ndarray, Annotation]:
    """Tiles of (height, width) side by side: their image and their merged annotation.

    Splices are merged row by row, because merging takes a map of the whole for each part. For 8 x 8 tiles that is
    sixteen times the size of the splice, not 64 times.
    """
    height, width = size
    image = np.concatenate([resized(sample.image, size) for sample in samples], axis=1)
    targets = []
    for column, sample in enumerate(samples):
        matrix = resize_matrix(sample.image.shape[:2], size)
        matrix[0, 2] += width * column
        targets.append(sample.target.warp(matrix, (height, width * len(samples))))
    return image, merge(targets)


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


def _choose(rng: np.random.Generator, num_samples: int, count: int) -> tuple[int, ...]:
    rounds, rest = divmod(count, num_samples)
    chosen = [rng.permutation(num_samples) for _ in range(rounds)]
    return tuple(np.concatenate([*chosen, rng.choice(num_samples, rest, replace=False)]).tolist())


def _tile_size(size: tuple[int, ...], grid: Grid, max_size: int) -> tuple[int, int]:
    factor = min(1.0, max_size / (grid[0] * size[0]), max_size / (grid[1] * size[1]))
    height, width = (max(1, int(side * factor)) for side in size)
    return height, width

"""The pretraining data: rendered images and their captions in shards on disk, never a label."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.captions import write_captions
from datasetdm.miniworld.pretraining.recipe import Recipe
from datasetdm.miniworld.rendering import render
from datasetdm.miniworld.scene import sample_scene
from datasetdm.utils.files import read_json, replacing, write_json

SHARD_SIZE = 1000
CAPTIONS_PER_IMAGE = 4


@dataclass(frozen=True)
class ImagePool:
    """Images and captions.

    Attributes:
        images: uint8, N x S x S x 3, RGB, memory-mapped shard by shard.
        captions: N lists of captions of the same image.
    """

    images: list[np.ndarray]
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.images[index // SHARD_SIZE][index % SHARD_SIZE]

    def batches(self, size: int = 250) -> Iterator[np.ndarray]:
        """All images in their order, uint8 B x S x S x 3, at most `size` at a time."""
        for shard in self.images:
            for start in range(0, len(shard), size):
                yield np.array(shard[start : start + size])


def load_pool(folder: Path, *, num_images: int, size: int, seed: int, workers: int) -> ImagePool:
    """The first `num_images` (rounded up to whole shards) of the endless seeded stream of `web` scenes.

    Existing shards are not rendered again, so an interrupted run continues where it stopped.

    Raises:
        DatasetDMError: `folder` holds images of another size or seed.
    """
    remedy = f"Remove the folder {folder}, or change `work` in the recipe."
    kind, settings = folder / "settings.json", {"size": size, "seed": seed}
    if not kind.exists():
        write_json(kind, settings)
    elif read_json(kind, remedy=remedy) != settings:
        raise DatasetDMError(f"{folder} holds images of another size or seed than the recipe asks for. {remedy}")
    numbers = range(-(-num_images // SHARD_SIZE))
    missing = [k for k in numbers if not _captions_path(folder, k).exists()]
    if missing:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(_render_shard, *zip(*[(folder, k, size, seed) for k in missing], strict=True)))
    images = [_load_images(_images_path(folder, k), remedy) for k in numbers]
    captions = [texts for k in numbers for texts in read_json(_captions_path(folder, k), remedy=remedy)]
    return ImagePool(images=images, captions=captions)


def recipe_pool(recipe: Recipe) -> ImagePool:
    """The images of a recipe, in `images/` of its working folder; errors as in `load_pool`."""
    images = recipe.images
    return load_pool(
        recipe.work / "images", num_images=images.num_images, size=images.size, seed=images.seed, workers=images.workers
    )


def halved(images: np.ndarray) -> np.ndarray:
    """uint8 images N x S x S x 3 at half the size, each pixel the mean of four."""
    rows = images.astype(np.uint16)
    total = rows[:, ::2, ::2] + rows[:, 1::2, ::2] + rows[:, ::2, 1::2] + rows[:, 1::2, 1::2]
    return ((total + 2) // 4).astype(np.uint8)


def _load_images(file: Path, remedy: str) -> np.ndarray:
    try:
        images: np.ndarray = np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DatasetDMError(f"{file} is missing or damaged ({error}). {remedy}") from None
    return images


def _render_shard(folder: Path, shard: int, size: int, seed: int) -> None:
    rng = np.random.default_rng([seed, shard])
    images = np.empty((SHARD_SIZE, size, size, 3), np.uint8)
    captions = []
    for k in range(SHARD_SIZE):
        scene = sample_scene(rng, "web")
        images[k] = render(scene, size=size).image
        captions.append(write_captions(scene, rng, CAPTIONS_PER_IMAGE))
    with replacing(_images_path(folder, shard)) as temporary, temporary.open("wb") as file:
        np.save(file, images)
    write_json(_captions_path(folder, shard), captions)


def _images_path(folder: Path, shard: int) -> Path:
    return folder / f"images-{shard:05d}.npy"


def _captions_path(folder: Path, shard: int) -> Path:
    return folder / f"captions-{shard:05d}.json"

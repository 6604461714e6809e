"""What the exports share: the images of the two splits, one by one, and a folder that appears whole or not at all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.captions import write_captions
from datasetdm.miniworld.distributions import DISTRIBUTIONS, SPLITS
from datasetdm.miniworld.layout import Scene
from datasetdm.miniworld.rendering import Render, render
from datasetdm.miniworld.scene import sample_scene
from datasetdm.utils.files import replacing, write_json

Split = Literal["train", "val"]

CAPTIONS_PER_IMAGE = 5
MOST_IMAGES = 500_000

#: The split of the styles that the images of each split of a data set come from.
_STYLES = {"train": "train", "val": "test"}


@dataclass(frozen=True)
class Shot:
    """One image. number: from 0 in its split. captions: `CAPTIONS_PER_IMAGE` of them."""

    number: int
    scene: Scene
    picture: Render
    captions: list[str]

    def image_id(self, split: Split) -> int:
        """A number of the image that no other image of either split has, from 1, at most six digits."""
        return self.number + 1 + (MOST_IMAGES if split == "val" else 0)


@dataclass(frozen=True)
class World:
    """What is exported: how many images of which distribution, at which size (pixels), from which seed."""

    num_train: int
    num_val: int
    seed: int
    image_size: int
    distribution: str

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categories that may occur."""
        return DISTRIBUTIONS[self.distribution].categories

    def shots(self, split: Split) -> Iterator[Shot]:
        """The images of a split; those of `val` have other seeds and held-out styles (see `distributions`)."""
        styles = _STYLES[split]
        for k in range(self.num_train if split == "train" else self.num_val):
            rng = np.random.default_rng([self.seed, SPLITS.index(styles), k])
            scene = sample_scene(rng, self.distribution, styles)
            picture = render(scene, self.image_size)
            yield Shot(k, scene, picture, write_captions(scene, rng, CAPTIONS_PER_IMAGE))


@dataclass(frozen=True)
class Export:
    """Writes the miniworld in the native layout of one data set.

    layout: name of the data set, for messages. write: fills an empty folder. entries: the names it makes there.
    distribution: what is exported by default.
    """

    layout: str
    write: Callable[[Path, World], None]
    entries: tuple[str, ...]
    distribution: str

    def __call__(
        self,
        root: Path,
        *,
        num_train: int,
        num_val: int,
        seed: int,
        image_size: int = 128,
        distribution: str | None = None,
    ) -> None:
        """Writes the data set to `root`.

        The same arguments give the same bytes, and image k does not depend on how many images there are. The folder
        appears complete or not at all; an earlier export in its place is replaced.

        Args:
            root: a missing or empty folder, or an earlier export.
            num_train: images for training.
            num_val: images for validation, with held-out shapes and textures.
            seed: of all randomness.
            image_size: width and height in pixels.
            distribution: a key of `DISTRIBUTIONS`; None: the one that suits the layout.

        Raises:
            DatasetDMError: if `root` holds anything else, or an argument is out of range.
        """
        root, distribution = Path(root), distribution or self.distribution
        if distribution not in DISTRIBUTIONS:
            raise DatasetDMError(
                f"unknown miniworld distribution {distribution!r}; it is one of {', '.join(DISTRIBUTIONS)}."
            )
        if min(num_train, num_val, seed) < 0 or max(num_train, num_val) > MOST_IMAGES:
            raise DatasetDMError(
                f"num_train, num_val (at most {MOST_IMAGES:,}) and seed of the miniworld export must not be negative."
            )
        if root.exists() and not (root.is_dir() and {path.name for path in root.iterdir()} <= {*self.entries}):
            raise DatasetDMError(
                f"{root} holds something other than the miniworld in the layout of {self.layout}; name another folder "
                "or empty it."
            )
        with replacing(root) as folder:
            folder.mkdir()
            self.write(folder, World(num_train, num_val, seed, image_size, distribution))


def write_picture(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Writes H x W x 3 RGB or H x W; missing folders are made.

    A PNG is exact. A JPEG has quality 95 without chroma subsampling: thin coloured parts stay where their masks are.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = image[..., ::-1] if image.ndim == 3 else image
    if not cv2.imwrite(str(path), bgr, options if path.suffix == ".jpg" else []):
        raise DatasetDMError(f"could not write {path}; is the disk full?")


def write_caption_file(root: Path, captions: dict[str, list[str]]) -> None:
    """Writes `captions.json`, captions by image name, for a layout that has no place for captions."""
    write_json(root / "captions.json", captions)


def depth_units(picture: Render, units_per_metre: int) -> NDArray[np.uint16]:
    """Depth in whole units; 0 in the sky and beyond what 16 bits can hold."""
    units = np.rint(picture.depth * units_per_metre)
    return np.where(units < 1 << 16, units, 0).astype(np.uint16)

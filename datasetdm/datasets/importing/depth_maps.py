"""A folder of images and depth maps: 16-bit PNG or `.npy`, in a unit that is given or guessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasetdm.annotations.sample import Category
from datasetdm.datasets.importing.contents import Contents
from datasetdm.datasets.importing.findings import Findings
from datasetdm.datasets.importing.pairs import MapNames, find_pairs, pictures_of
from datasetdm.datasets.standard.depth_png import KITTI_UNITS, LARGEST, MILLIMETRES
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import read_map

DEPTHS = MapNames(
    folders=("depth", "depths", "depth_map", "depth_maps", "depthmaps", "gt_depth", "sync_depth", "depth_raw"),
    ends=("_depth", "_depths", "_depth_map", "_z"),
    suffixes=(".png", ".npy"),
)
_FARTHEST = 300.0  # metres; no camera measures beyond, so that larger numbers are not metres
_LOOKED_AT = 32  # maps, for the unit


@dataclass(frozen=True)
class Unit:
    """What one metre is in a file of depth, and how this is known."""

    per_metre: float
    reason: str


def read_depth_folder(
    root: Path, images: Sequence[Path], scale: float | None, scene: str, findings: Findings
) -> Contents:
    """Read a folder of images with depth maps.

    Args:
        root: the folder that was imported.
        images: further folders with images.
        scale: numbers per metre; None: guess.
        scene: what the images show, as a prompt names it ("kitchen"): the one category.
        findings: takes what is odd.
    """
    pairs = find_pairs(root, images, DEPTHS, findings)
    pictures = pictures_of(pairs, root)
    unit = find_unit([pair.map for pair in pairs], scale)
    return Contents(
        task="depth",
        categories=(Category(id=1, name=scene),),
        pictures=pictures,
        root=root,
        details={"unit": unit},
    )


def find_unit(files: Sequence[Path], scale: float | None) -> Unit:
    """The unit of depth maps: what the user says, or a guess from the kind of number and the largest values."""
    if scale is not None:
        return Unit(scale, f"one metre is {scale:g}, as --depth-scale says")
    largest, kinds = [], set()
    for file in files[:: max(1, len(files) // _LOOKED_AT)]:
        try:
            values = read_numbers(file)
        except DatasetDMError:
            continue
        known = values[np.isfinite(values) & (values > 0)]
        kinds.add(values.dtype.kind)
        if known.size:
            largest.append(float(np.percentile(known, 99)))
    far = max(largest, default=0.0)
    if kinds == {"f"} and far <= _FARTHEST:
        return Unit(1.0, f"taken as metres, because they are fractions up to {far:.3g}; --depth-scale says otherwise")
    return Unit(
        MILLIMETRES,
        "the numbers are taken as millimetres; if that is wrong, give the numbers per metre: "
        f"--depth-scale {KITTI_UNITS:g} for KITTI, 5000 for TUM, 100 for centimetres",
    )


def read_numbers(file: Path) -> np.ndarray:
    """A depth map as it is written, H x W: uint16 of a PNG, any real numbers of a `.npy` file.

    Raises:
        DatasetDMError: missing, damaged, of another kind, or a pickle, which could run code.
    """
    if file.suffix.lower() != ".npy":
        return read_map(file, bits=16)
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetDMError(
            f"{file} cannot be read as an array of numbers ({' '.join(str(error).split())}). Save it with "
            "np.save(file, depth), as H x W numbers."
        ) from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or values.squeeze().ndim != 2:
        raise DatasetDMError(f"{file} does not hold H x W numbers. Save the depth alone with np.save(file, depth).")
    return values.squeeze()


def to_units(values: np.ndarray, unit: Unit, units_per_metre: float) -> np.ndarray:
    """Depth in another unit as uint16, 0 where nothing is known or where it is too far for the file."""
    with np.errstate(invalid="ignore"):
        metres = values.astype(np.float64) / unit.per_metre
        known = np.isfinite(metres) & (metres > 0)
        units = np.rint(np.where(known, metres, 0) * units_per_metre)
    units = np.where(known, np.maximum(units, 1), 0)
    return np.where(units <= LARGEST, units, 0).astype(np.uint16)

"""Depth as 16-bit PNG: whole numbers of a data set's unit, 0 where nothing is known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasetdm.annotations.depth_map import DepthMap, counted_mask
from datasetdm.datasets.standard.maps import MapCodec, MapSplit
from datasetdm.errors import DatasetDMError
from datasetdm.utils.images import read_map

MILLIMETRES = 1000.0  # units per metre of NYU Depth V2: up to 65.535 m
KITTI_UNITS = 256.0  # units per metre of KITTI: up to 255.996 m
LARGEST = 2**16 - 1


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """What measured the depths of a data set, and how it writes them.

    Attributes:
        units_per_metre: what one metre is in the file.
        farthest: metres that it can reach; what lies beyond is no measurement and becomes unknown.
        common: metres that something is away in nearly every image; see `datasetdm.datasets.native.depth_evidence`.
        unknown: values that stand for no depth.
    """

    units_per_metre: float
    farthest: float
    common: float
    unknown: tuple[int, ...] = (0,)


def read_depth(path: Path, sensor: Sensor) -> DepthMap:
    """A depth PNG as its sensor wrote it.

    Raises:
        DatasetDMError: missing, damaged, not 16-bit, without any depth, or more pixels beyond the sensor's reach than
            within it, which means another unit or byte order.
    """
    units = read_map(path, bits=16)
    metres = units.astype(np.float32) / np.float32(sensor.units_per_metre)
    measured = is_measured(units, sensor)
    known = measured & (metres <= sensor.farthest)
    within, beyond = int(known.sum()), int((measured & ~known).sum())
    if beyond > within:
        raise DatasetDMError(
            f"{path} is no depth map in units of 1/{sensor.units_per_metre:g} m: {beyond} of its pixels are farther "
            f"away than {sensor.farthest:g} m, where the sensor sees nothing, and {within} are not. It was written in "
            "another unit or byte order, or for viewing: use the file that the sensor wrote, or write it again in this "
            "unit."
        )
    if not within:
        raise DatasetDMError(f"{path} holds no depth at all: take the image out of the list, or fetch the file again.")
    return DepthMap(depth=np.where(known, metres, np.float32(0)), valid_mask=known)


def is_measured(units: np.ndarray, sensor: Sensor) -> np.ndarray:
    """Which values of a file are depths at all, bool H x W."""
    measured = units != sensor.unknown[0]
    for value in sensor.unknown[1:]:
        measured &= units != value
    return measured


def depth_codec(max_depth: float) -> MapCodec:
    """The standard file for depths of up to `max_depth` metres, in the unit of `depth_units`.

    A known depth comes back to within half a unit (a whole one below the first); what is farther away than the file can
    hold lies beyond `max_depth`, where nothing is learnt or evaluated, and is written as unknown.

    Raises:
        DatasetDMError: no unit reaches that far.
    """
    return _codec(depth_units(max_depth))


def depth_units(max_depth: float) -> float:
    """Units per metre of a depth PNG: the finest unit that holds `max_depth` metres without clipping.

    Up to 65.535 m that is the millimetre, as in NYU Depth V2, and up to 255.996 m 1/256 m, as in KITTI.

    Raises:
        DatasetDMError: no unit reaches that far.
    """
    for units_per_metre in (MILLIMETRES, KITTI_UNITS):
        if max_depth * units_per_metre <= LARGEST:
            return units_per_metre
    raise DatasetDMError(
        f"`task.max_depth` {max_depth:g} in params.yaml is more than a 16-bit depth PNG holds: set it to at most "
        f"{LARGEST / KITTI_UNITS:.1f} metres."
    )


def _codec(units_per_metre: float) -> MapCodec:
    def encode(target: DepthMap) -> np.ndarray:
        depth, known = target.depth.astype(np.float64), target.valid_mask
        if not (np.isfinite(depth[known]).all() and (depth[known] > 0).all()):
            raise ValueError("a known depth has to be a number above 0")
        units = np.rint(np.where(known, depth, 0) * units_per_metre)
        # Nearer than half a unit is still known, and 0 would say that it is not.
        units = np.where(known, np.maximum(units, 1), 0)
        return np.where(units <= LARGEST, units, 0).astype(np.uint16)

    def decode(values: np.ndarray) -> DepthMap:
        return DepthMap(depth=values.astype(np.float32) / np.float32(units_per_metre), valid_mask=values > 0)

    return MapCodec(encode=encode, decode=decode, bits=16)


def check_depth_maps(split: MapSplit, min_depth: float, max_depth: float) -> dict[str, int]:
    """Read all maps of a set; the number of `images` and of `known_pixels`, whose depth is between the bounds (metres).

    Raises:
        DatasetDMError: what the loader refuses, or a map without any such pixel.
    """
    counts = {"images": 0, "known_pixels": 0}
    for name, depth_map in split.targets():
        known = int(counted_mask(depth_map, min_depth, max_depth).sum())
        if not known:
            raise DatasetDMError(
                f"{split.annotation_file}: the depth map of {name} holds nothing between {min_depth:g} and "
                f"{max_depth:g} m: check `task.min_depth` and `task.max_depth` in params.yaml."
            )
        counts["images"] += 1
        counts["known_pixels"] += known
    return counts

"""Whether the depth maps of a data set are what its layout says: metres in its unit, and not something else.

A single map proves nothing: a camera may stand close to a wall. So several are looked at.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasetdm.datasets.native.evidence import some_maps
from datasetdm.datasets.split import Entry
from datasetdm.datasets.standard.depth_png import Sensor, is_measured
from datasetdm.errors import DatasetDMError

log = logging.getLogger(__name__)

TOO_NEAR = 0.25  # of `Sensor.common`: where no map of a data set reaches that far, the unit is another
_LOOKED_AT = 16  # maps, for the direction
_ENOUGH = 4  # maps that tell a habit from chance
_FARTHER = 1.2  # ratio of depths, below over above in the image, that no floor or street has


def check_depths(file: Path, entries: Sequence[Entry], sensor: Sensor) -> None:
    """Look at the values of some maps; those that cannot be read are passed over.

    Warns where nothing is as far away as something nearly always is, and where near and far seem to be swapped.

    Args:
        file: what lists the images, for messages.
        entries: the images.
        sensor: what is expected.

    Raises:
        DatasetDMError: everything in all maps is so near that the values must be of another unit.
    """
    largest, count = 0, 0
    for units in some_maps(entries, bits=16):
        known = units[is_measured(units, sensor)]
        if not known.size:
            continue
        largest, count = max(largest, int(np.percentile(known, 99))), count + 1
        if largest >= sensor.common * sensor.units_per_metre:
            break
    else:
        if count:
            _tell_of_unit(file, largest, count, sensor)
    _warn_of_inverse(file, entries, sensor)


def _tell_of_unit(file: Path, largest: int, count: int, sensor: Sensor) -> None:
    metres = largest / sensor.units_per_metre
    seen = (
        f"{file}: the depth maps ({count} were looked at) hardly have a value above {largest}. That is {metres:.2g} m, "
        f"as one metre is {sensor.units_per_metre:g} in this layout."
    )
    if metres >= sensor.common * TOO_NEAR:
        log.warning("%s Are they of this unit?", seen)
        return
    if largest <= 255:
        guess = "They look like whole metres, or like a picture of 8 bits that was made for viewing."
    else:
        guess = "They are of another unit, such as centimetres."
    raise DatasetDMError(
        f"{seen} {guess} Write 16-bit PNG of the depth in metres times {sensor.units_per_metre:g}, 0 where nothing is "
        "known."
    )


def _warn_of_inverse(file: Path, entries: Sequence[Entry], sensor: Sensor) -> None:
    """Floor and street come nearer towards the lower edge of an image, so that disparity grows there."""
    ratios = []
    for units in some_maps(entries, bits=16, most=_LOOKED_AT):
        measured = is_measured(units, sensor)
        rows = np.flatnonzero(measured.any(axis=1))
        quarter = len(rows) // 4
        if quarter:
            above, below = (units[part][measured[part]] for part in (rows[:quarter], rows[-quarter:]))
            ratios.append(float(np.median(below) / np.median(above)))
    if len(ratios) >= _ENOUGH and np.mean(np.array(ratios) > _FARTHER) > 0.9:
        log.warning(
            "%s: in nearly all of the %d depth maps that were looked at, the values grow towards the lower edge, where "
            "floor or street are nearest. Are they disparities or inverse depths? Depth is distance.",
            file,
            len(ratios),
        )

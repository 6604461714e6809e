"""Several readings of one image: which there are, how far they agree, and what they say together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from datasetdm import config
from datasetdm.annotations.sample import Prediction
from datasetdm.diffusion.backbone import NoiseLevel
from datasetdm.tasks.base import Task


@dataclass(frozen=True)
class Pass:
    """One pass of the diffusion model over an image.

    Attributes:
        timestep: the noise level.
        mirrored: whether it sees the mirror image.
    """

    timestep: NoiseLevel
    mirrored: bool


def passes(settings: config.Decoder) -> tuple[Pass, ...]:
    """The passes that the settings ask for; the first is the image itself at `timestep`."""
    reading = settings.reading
    if reading is None:
        return (Pass(settings.timestep, mirrored=False),)
    sides = (False, True) if reading.flip else (False,)
    return tuple(Pass(timestep, side) for timestep, side in product((settings.timestep, *reading.timesteps), sides))


def join_readings(
    task: Task, readings: Sequence[Sequence[Prediction]], made_by: Sequence[Pass], width: int
) -> list[Prediction]:
    """One prediction of each of B images, with the agreement of its readings.

    Args:
        task: what is predicted.
        readings: B predictions of each pass.
        made_by: the passes.
        width: of the images, in pixels.
    """
    if len(readings) == 1:
        return list(readings[0])
    upright = [
        [_mirrored(found, width) for found in reading] if one.mirrored else reading
        for reading, one in zip(readings, made_by, strict=True)
    ]
    return [_joined(task, image, made_by) for image in zip(*upright, strict=True)]


def _joined(task: Task, readings: Sequence[Prediction], made_by: Sequence[Pass]) -> Prediction:
    by_pass = dict(zip(made_by, readings, strict=True))
    first = made_by[0]
    flips = [(Pass(one.timestep, mirrored=False), one) for one in made_by if one.mirrored]
    levels = [(Pass(first.timestep, one.mirrored), one) for one in made_by if one.timestep != first.timestep]
    agreement = {
        name: float(np.mean([task.agreement(by_pass[one], by_pass[other]) for one, other in pairs]))
        for name, pairs in (("flip_agreement", flips), ("timestep_agreement", levels))
        if pairs
    }
    return replace(task.join(readings), agreement=agreement)


def _mirrored(prediction: Prediction, width: int) -> Prediction:
    """The prediction of an image from that of its mirror image, exact to the pixel."""
    matrix = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])
    return replace(prediction, target=prediction.target.warp(matrix, (width, width)))

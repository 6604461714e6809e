"""Several readings of one image: which there are, how far they agree, and what they say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from datasetdm import config
from datasetdm.annotations.sample import Prediction
from datasetdm.diffusion.backbone import NoiseLevel
from datasetdm.tasks.base import Task


@dataclass(frozen=True)
class Pass:
    """One pass of the diffusion model over an image, and what is read of it.

    Attributes:
        timestep: the noise level.
        mirrored: whether it sees the mirror image.
        by_attention: whether the attention alone is read, and not what the decoder says.
    """

    timestep: NoiseLevel
    mirrored: bool
    by_attention: bool = False


def passes(settings: config.Decoder) -> tuple[Pass, ...]:
    """The passes of the diffusion model that the settings ask for; the first is the image itself at `timestep`."""
    reading = settings.reading
    if reading is None:
        return (Pass(settings.timestep, mirrored=False),)
    sides = (False, True) if reading.flip else (False,)
    return tuple(Pass(timestep, side) for timestep, side in product((settings.timestep, *reading.timesteps), sides))


def join_readings(
    task: Task, readings: Sequence[Sequence[Prediction | None]], made_by: Sequence[Pass], width: int
) -> list[Prediction]:
    """One prediction of each of B images, with the agreement of its readings.

    Args:
        task: what is predicted.
        readings: B predictions of each pass; None where a pass says nothing about an image. The first pass always does.
        made_by: the passes.
        width: of the images, in pixels.
    """
    images = []
    for found in zip(*readings, strict=True):
        upright = {
            one: _mirrored(prediction, width) if one.mirrored else prediction
            for one, prediction in zip(made_by, found, strict=True)
            if prediction is not None
        }
        images.append(_joined(task, upright) if len(readings) > 1 else next(iter(upright.values())))
    return images


def _joined(task: Task, readings: Mapping[Pass, Prediction]) -> Prediction:
    first = next(iter(readings))
    partners = {
        "flip_agreement": [(replace(one, mirrored=False), one) for one in readings],
        "timestep_agreement": [(replace(one, timestep=first.timestep), one) for one in readings],
        "attention_agreement": [(replace(one, by_attention=False), one) for one in readings],
    }
    pairs = {name: [(one, other) for one, other in found if one != other] for name, found in partners.items()}
    agreement = {
        name: float(np.mean([task.agreement(readings[one], readings[other]) for one, other in found]))
        for name, found in pairs.items()
        if found
    }
    return replace(task.join([*readings.values()]), agreement=agreement)


def _mirrored(prediction: Prediction, width: int) -> Prediction:
    """The prediction of an image from that of its mirror image, exact to the pixel."""
    matrix = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])
    return replace(prediction, target=prediction.target.warp(matrix, (width, width)))

"""The variants: which passes and decoders are read, and how they are joined and refined."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Prediction
from datasetdm.decoder.readings import Pass
from datasetdm.tasks.instance import InstanceTask

PLAIN, FLIP = Pass(50, mirrored=False), Pass(50, mirrored=True)
NOISY, NOISY_FLIP = Pass(200, mirrored=False), Pass(200, mirrored=True)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to label.

    Attributes:
        passes: what is read of an image.
        rounds: of GrabCut; 0 takes the masks as the decoder gives them.
        snap_first: whether the outlines of each reading are moved before the readings are joined.
        decoders: suffixes of the names of the decoders that read, all trained on the same images.
    """

    passes: tuple[Pass, ...] = (PLAIN,)
    rounds: int = 1
    snap_first: bool = False
    decoders: tuple[str, ...] = ("",)

    def label(self, task: InstanceTask, readings: Sequence[Mapping[Pass, Prediction]], image: np.ndarray) -> Instances:
        """The labels of one image.

        Args:
            task: without its own refinement.
            readings: of each decoder, what it finds in each pass, and what attention alone finds where it is read.
            image: uint8, H x W x 3.
        """
        refining = InstanceTask(task.categories, self.settings)
        chosen = [reading[one] for reading in readings for one in self.passes if one in reading]
        if not chosen:  # attention alone, of an image whose caption names nothing
            return Instances.empty(*image.shape[:2])
        if self.snap_first:
            chosen = [refining.refine(one, image) for one in chosen]
        joined = chosen[0] if len(chosen) == 1 else task.join(chosen)
        found: Instances = (joined if self.snap_first else refining.refine(joined, image)).target
        return found

    @property
    def settings(self) -> config.InstanceAnnotation:
        """The settings of the task."""
        if not self.rounds:
            return config.InstanceAnnotation()
        return config.InstanceAnnotation(outlines="grabcut", outline_rounds=self.rounds)


ONCE = Variant()
_BOTH = replace(ONCE, passes=(PLAIN, FLIP))
_FOUR = replace(ONCE, passes=(PLAIN, FLIP, NOISY, NOISY_FLIP))


def _with_attention(variant: Variant) -> Variant:
    by_attention = tuple(replace(one, by_attention=True) for one in variant.passes)
    return replace(variant, passes=variant.passes + by_attention)


VARIANTS: dict[str, Variant] = {
    "decoder's outlines": replace(ONCE, rounds=0),
    "once": ONCE,
    "attention alone": replace(ONCE, passes=(replace(PLAIN, by_attention=True),)),
    "attention": _with_attention(ONCE),
    "timestep 200": replace(ONCE, passes=(NOISY,)),
    "2 rounds": replace(ONCE, rounds=2),
    "timesteps 50 and 200": replace(ONCE, passes=(PLAIN, NOISY)),
    "flip": _BOTH,
    "flip and attention": _with_attention(_BOTH),
    "flip, 2 rounds": replace(_BOTH, rounds=2),
    "flip, each refined first": replace(_BOTH, snap_first=True),
    "flip, each refined first, 2 rounds": replace(_BOTH, snap_first=True, rounds=2),
    "flip and timesteps": _FOUR,
    "flip, timesteps and attention": _with_attention(_FOUR),
    "flip and timesteps, 2 rounds": replace(_FOUR, rounds=2),
}

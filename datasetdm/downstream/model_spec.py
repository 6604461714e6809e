"""What is known of a downstream model before its framework is imported."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datasetdm import config
from datasetdm.errors import DatasetDMError


@dataclass(frozen=True)
class ModelSpec:
    """A model that `downstream.model` can name.

    Attributes:
        name: its name.
        tasks: names of the tasks that it serves.
        build: takes the settings and the number of outputs (classes, channels or keypoints), and returns the
            configuration that the network is built from, as its framework has it.
        size_multiple: the image size has to be a multiple of it.
        single_above: batches of one image are possible above this image size. Batch normalisation learns nothing from
            a single value, and that is what the coarsest map (stride 32) of a single small view has. UperNet
            normalises the mean of its image, which is a single value at any size. Detectors that do not pad a batch
            to a fixed size also see images at half size.
        autocast: whether training in bfloat16 works and pays. mmcv's own operators (RoIAlign and others) do not support
            it; the output of a sigmoid has steps of 0.004 near 1 in it (GLPN); the smallest networks become slower.
    """

    name: str
    tasks: tuple[str, ...]
    build: Callable[[config.Downstream, int], Any]
    size_multiple: int = 1
    single_above: float = 0
    autocast: bool = False

    def check(self, settings: config.Downstream) -> None:
        """Check that the model can be trained with these settings.

        Raises:
            DatasetDMError: it cannot; the message names every problem.
        """
        problems = [problem for problem in (self._size_problem(settings), self._batch_problem(settings)) if problem]
        if problems:
            raise DatasetDMError("\n".join(f"params.yaml: {problem}" for problem in problems))

    def _size_problem(self, settings: config.Downstream) -> str | None:
        size, multiple = settings.image_size, self.size_multiple
        if size % multiple == 0:
            return None
        below, above = size // multiple * multiple, -(-size // multiple) * multiple
        return (
            f"downstream.image_size is {size}, the height of a person's crop, and has to be a multiple of {multiple} "
            f"for {self.name}, so that height and width (three quarters) divide evenly: "
            f"set it to {above}{f' or {below}' if below else ''}."
        )

    def _batch_problem(self, settings: config.Downstream) -> str | None:
        if settings.batch_size > 1 or settings.image_size > self.single_above:
            return None
        larger = "" if math.isinf(self.single_above) else f", or downstream.image_size above {self.single_above}"
        return (
            f"downstream.batch_size is 1, but the batch normalisation of {self.name} needs at least two images: "
            f"set it to 2{larger}. (downstream.accumulate makes a step of several batches where memory is short.)"
        )


def by_name(*specs: ModelSpec) -> dict[str, ModelSpec]:
    """The models by their names."""
    return {spec.name: spec for spec in specs}

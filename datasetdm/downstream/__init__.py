"""The ordinary models that show what the synthetic data are worth: one line of `DOWNSTREAM` per task."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from datasetdm import config
from datasetdm.structures import Category


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A source of annotated images.

    Attributes:
        annotation_file: in the task's standard format (COCO JSON for `instance`).
        images_dir: the folder its file names start from.
        weight: share of a training batch, relative to the other sources'.
    """

    annotation_file: Path
    images_dir: Path
    weight: float = 1.0


class Predictor(Protocol):
    """A trained downstream model."""

    def predict(self, images: Sequence[np.ndarray], batch_size: int = 16) -> list[Any]:
        """The annotation of each image (uint8, H x W x 3, RGB), of the task's target type."""


@dataclass(frozen=True)
class DownstreamModel:
    """How a task's downstream model is trained and loaded.

    The module is imported when it is first used: its framework takes seconds to import, and the other
    stages do without it.
    """

    module: str

    def train(
        self,
        settings: config.Downstream,
        *,
        datasets: Sequence[Labelled],
        categories: Sequence[Category],
        dev: Labelled,
        seed: int,
        out: Path,
        device: str = "auto",
    ) -> dict[str, float]:
        """Train on `datasets`, write the model to the folder `out` and return its metrics on `dev`."""
        train = import_module(self.module).train
        return train(settings, datasets=datasets, categories=categories, dev=dev, seed=seed, out=out, device=device)

    def load(self, folder: Path, device: str = "auto") -> Predictor:
        """The model that `train` wrote to a folder."""
        return import_module(self.module).load(folder, device)


DOWNSTREAM: dict[str, DownstreamModel] = {
    "instance": DownstreamModel("datasetdm.downstream.detection"),
}

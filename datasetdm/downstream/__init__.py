"""The ordinary models that show what the synthetic data are worth: one line of `DOWNSTREAM` per task."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from datasetdm import config
from datasetdm.annotations.sample import Category, Sample
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A source of annotated images.

    Attributes:
        folder: in the standard layout: `images/` and `annotations/<subset>.json`; what `Task.load` reads.
        subset: the name of the set.
        weight: share of a training batch, relative to the other sources'.
    """

    folder: Path
    subset: str
    weight: float = 1.0

    @property
    def annotation_file(self) -> Path:
        """The file that lists the images."""
        return self.folder / "annotations" / f"{self.subset}.json"

    @property
    def images_dir(self) -> Path:
        """The folder its file names start from."""
        return self.folder / "images"


class Annotator(Protocol):
    """Whatever annotates images."""

    def predict(self, images: Sequence[np.ndarray], hints: Sequence[Any] | None = None) -> list[Any]:
        """The annotation of each image, of the task's target type.

        Args:
            images: uint8, H x W x 3, RGB, of any sizes.
            hints: per image what `Task.hint` gave; None where the task gives none.
        """


class Predictor(Annotator, Protocol):
    """A trained downstream model.

    Each image goes through it by itself, so that its annotation is the same to the last bit whatever other images are
    in the list: a batch of another size, or padded to another size, would change sums and grids.

    Attributes:
        categories: what its labels stand for, in label order.
    """

    categories: tuple[Category, ...]


@dataclass(frozen=True)
class DownstreamModel:
    """How a task's downstream model is trained and loaded.

    The module is imported when it is first used: its framework takes seconds to import, and the other
    stages do without it.

    Attributes:
        module: where `train` and `load` are.
        models: the names that `downstream.model` may have, known without importing the module.
    """

    module: str
    models: tuple[str, ...] = ()

    def check_model(self, settings: config.Downstream) -> None:
        """DatasetDMError where the model is unknown or of another task, or does not take the other settings."""
        if settings.model not in self.models:
            raise DatasetDMError(
                f"params.yaml: downstream.model '{settings.model}' is no model for this task. There are: "
                f"{', '.join(self.models)}."
            )
        check_limits(settings)

    def train(
        self,
        settings: config.Downstream,
        *,
        task: Task,
        datasets: Sequence[Labelled],
        dev: Labelled,
        seed: int,
        out: Path,
        device: str = "auto",
        resume: Path | None = None,
    ) -> dict[str, float]:
        """Train on `datasets`, write the model to the folder `out` and return its metrics on `dev`.

        With `resume`, a folder for checkpoints, a training that was cut off goes on.
        """
        train = import_module(self.module).train
        return train(settings, task=task, datasets=datasets, dev=dev, seed=seed, out=out, device=device, resume=resume)

    def load(self, folder: Path, device: str = "auto") -> Predictor:
        """The model that `train` wrote to a folder."""
        return import_module(self.module).load(folder, device)


@dataclass(frozen=True)
class Limits:
    """What a model cannot be trained with, known without importing its framework.

    Attributes:
        multiple: the image size has to be a multiple of it.
        single_above: batches of one image are possible above this image size. Batch normalisation learns nothing from
            a single value, and that is what the coarsest map (stride 32) of a single small view has. UperNet
            normalises the mean of its image, which is a single value at any size; the detectors that pad no batch to
            a fixed size see images at half size, too.
    """

    multiple: int = 1
    single_above: float = 0


LIMITS: dict[str, Limits] = {
    "mask-rcnn_r18": Limits(single_above=32),
    "mask-rcnn_r50": Limits(single_above=64),
    "solov2_r18": Limits(single_above=64),
    "condinst_r18": Limits(single_above=64),
    "mask2former_r50": Limits(single_above=32),
    "upernet_r18": Limits(single_above=math.inf),
    "upernet_swin-l": Limits(single_above=math.inf),
    "vitpose_tiny": Limits(multiple=32),
    "vitpose_small": Limits(multiple=64),
    "vitpose_base": Limits(multiple=64),
}


def check_limits(settings: config.Downstream) -> None:
    """DatasetDMError where the model cannot be trained with these settings; it names all of them."""
    limits, size = LIMITS.get(settings.model, Limits()), settings.image_size
    problems = []
    if size % limits.multiple:
        below, above = size // limits.multiple * limits.multiple, -(-size // limits.multiple) * limits.multiple
        problems.append(
            f"downstream.image_size is {size}, the height of a person's crop, and has to be a multiple of "
            f"{limits.multiple} for {settings.model}, so that height and width (three quarters) hold whole patches: "
            f"set it to {above}{f' or {below}' if below else ''}."
        )
    if settings.batch_size == 1 and size <= limits.single_above:
        larger = "" if math.isinf(limits.single_above) else f", or downstream.image_size above {limits.single_above}"
        problems.append(
            f"downstream.batch_size is 1, but the batch normalisation of {settings.model} needs at least two images: "
            f"set it to 2{larger}. (downstream.accumulate makes a step of several batches where memory is short.)"
        )
    if problems:
        raise DatasetDMError("\n".join(f"params.yaml: {problem}" for problem in problems))


_DETECTORS = ("mask-rcnn_r18", "mask-rcnn_r50", "solov2_r18", "condinst_r18", "mask2former_r50", "mask2former_swin-b")
_SEGMENTERS = ("upernet_r18", "upernet_swin-l", "segformer_b0", "mask2former_r50", "mask2former_swin-b")
_REGRESSORS = ("upernet_r18", "upernet_swin-l", "segformer_b0", "glpn_small", "glpn_nyu")
_POSE_MODELS = ("vitpose_tiny", "vitpose_small", "vitpose_base")

DOWNSTREAM: dict[str, DownstreamModel] = {
    "instance": DownstreamModel("datasetdm.downstream.detection", _DETECTORS),
    "semantic": DownstreamModel("datasetdm.downstream.dense", _SEGMENTERS),
    "depth": DownstreamModel("datasetdm.downstream.dense", _REGRESSORS),
    "pose": DownstreamModel("datasetdm.downstream.pose", _POSE_MODELS),
}

EVALUATION_BATCH = 16  # images that are read at once


def category_records(categories: Sequence[Category]) -> list[dict[str, Any]]:
    """What `config.json` of a model says of its categories."""
    return [{"id": category.id, "name": category.name} for category in categories]


def read_categories(description: Mapping[str, Any]) -> tuple[Category, ...]:
    """The categories that `config.json` of a model names, in label order."""
    return tuple(Category(id=record["id"], name=record["name"]) for record in description["categories"])


def evaluate(model: Annotator, task: Task, samples: Sequence[Sample]) -> dict[str, float]:
    """The task's metrics of a model on annotated images; those that have no value there are left out."""
    if not len(samples):
        return {}
    evaluator = task.evaluator()
    for start in range(0, len(samples), EVALUATION_BATCH):
        batch = [samples[index] for index in range(start, min(start + EVALUATION_BATCH, len(samples)))]
        hints = [task.hint(sample.target) for sample in batch]
        for sample, found in zip(batch, model.predict([sample.image for sample in batch], hints), strict=True):
            evaluator.add(sample.target, found)
    return {name: value for name, value in evaluator.compute().items() if math.isfinite(value)}

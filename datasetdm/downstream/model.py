"""What a family of downstream models has to bring: `fit` trains them, all else uses them as a `Predictor`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.sources import Labelled
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.utils.devices import choose_device
from datasetdm.utils.files import read_json, write_json

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
REMEDY = "Run the stage train_downstream again."


class DownstreamModel(ABC):
    """A network with all that it takes to train it, to annotate images with it, and to keep it in a folder.

    Args:
        network: holds the weights.
        name: value of `downstream.model`.
        image_size: longer side at which the network sees an image, or height of a person's crop, in pixels.
        categories: in label order.
    """

    network: nn.Module

    def __init__(self, network: nn.Module, *, name: str, image_size: int, categories: Sequence[Category]):
        self.network, self.name, self.image_size = network, name, image_size
        self.categories = tuple(categories)
        self.device = torch.device("cpu")

    @classmethod
    @abstractmethod
    def build(cls, settings: config.Downstream, task: Task) -> Self:
        """A model with random weights; those of its backbone come from `settings.pretrained` where that is set.

        Raises:
            DatasetDMError: the model is unknown, or the pretrained weights are missing or do not fit.
        """

    @abstractmethod
    def train(
        self,
        settings: config.Downstream,
        datasets: Sequence[Labelled],
        task: Task,
        curve: LossCurve,
        *,
        seed: int,
        device: torch.device,
        resume: Path | None,
    ) -> None:
        """Run the whole training: AdamW, a short linear warm-up, then a cosine down to zero.

        Args:
            settings: the schedule.
            datasets: what a batch is drawn from, by weight.
            task: loads and warps the annotations.
            curve: takes the losses.
            seed: decides order and augmentation.
            device: where to train.
            resume: folder of checkpoints, written every `settings.checkpoint_every` iterations. The training resumes
                from the last one. None: nothing is read or written.

        Raises:
            DatasetDMError: there is nothing to train on, or the loss is not finite.
        """

    @abstractmethod
    def predict(self, images: Sequence[np.ndarray], prompt_boxes: Sequence[Any] | None = None) -> list[Any]:
        """As in `Predictor`."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All that `from_dict` needs, ready for JSON."""

    @classmethod
    @abstractmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """The model that `to_dict` describes; its weights are still random.

        Raises:
            KeyError, TypeError, ValueError: it describes another kind of model.
        """

    @staticmethod
    def choose_device(name: str) -> torch.device:
        """The device of that name; "auto" is a GPU where the family can use it. Errors as in `utils.devices`."""
        return choose_device(name)

    def to(self, device: torch.device) -> Self:
        """Move the network to a device and make it ready to predict."""
        self.network.to(device).eval()
        self.device = device
        return self

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `config.json` to a folder."""
        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        save_file(weights, folder / WEIGHTS_FILE)
        write_json(folder / CONFIG_FILE, self.to_dict())

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Self:
        """The model that `save` wrote to a folder, ready to predict.

        Raises:
            DatasetDMError: the folder holds no such model, or its files do not fit each other.
        """
        description = read_json(folder / CONFIG_FILE, remedy=REMEDY)
        try:
            model = cls.from_dict(description)
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetDMError(
                f"{folder / CONFIG_FILE} does not describe a {cls.__name__} ({error!r}). {REMEDY}"
            ) from None
        try:
            model.network.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except FileNotFoundError:
            raise DatasetDMError(f"{folder / WEIGHTS_FILE} is missing. {REMEDY}") from None
        except (SafetensorError, RuntimeError, OSError) as error:
            raise DatasetDMError(
                f"{folder / WEIGHTS_FILE} does not fit its {CONFIG_FILE} ({error}). {REMEDY}"
            ) from None
        return model.to(cls.choose_device(device))


def categories_to_dicts(categories: Sequence[Category]) -> list[dict[str, Any]]:
    """The categories as `config.json` has them."""
    return [{"id": category.id, "name": category.name} for category in categories]


def categories_from_dicts(records: Sequence[Mapping[str, Any]]) -> tuple[Category, ...]:
    """The categories of a `config.json`, in label order."""
    return tuple(Category(id=record["id"], name=record["name"]) for record in records)

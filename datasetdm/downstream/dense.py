"""Semantic maps and depth with transformers: train a network on an arm's images, load it back, predict."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, set_seed

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.downstream import Labelled, category_records, check_limits, evaluate, read_categories
from datasetdm.downstream.dense_data import TrainingViews, fitting_size, padded
from datasetdm.downstream.dense_models import MODELS, READOUTS, Readout, SegmentationNetwork, build_network
from datasetdm.downstream.trainer import run_training
from datasetdm.errors import DatasetDMError
from datasetdm.tasks.base import Task
from datasetdm.transforms.geometry import resized
from datasetdm.utils.devices import choose_device
from datasetdm.utils.files import read_json, replacing, write_json
from datasetdm.utils.images import checked_images
from datasetdm.utils.normalisation import MEAN, normalise

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
FITTING_VIEWS = 64  # from which a readout learns what is typical


class DensePredictor:
    """A trained network.

    Args:
        network: scores pixels.
        readout: makes annotations of scores.
        categories: in label order.
        image_size: longer side at which the network sees an image, in pixels.
        device: where it runs.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        readout: Readout,
        *,
        categories: Sequence[Category],
        image_size: int,
        device: torch.device,
    ):
        self.network = network.to(device).eval()
        self.categories = tuple(categories)
        self.readout, self.image_size, self.device = readout, image_size, device

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Self:
        """The network that `train` wrote to a folder.

        Raises:
            DatasetDMError: the folder holds no such network, or its files do not fit each other.
        """
        remedy = "Run the stage train_downstream (again)."
        description = read_json(folder / CONFIG_FILE, remedy=remedy)
        try:
            image_size, categories = int(description["image_size"]), read_categories(description)
            readout = READOUTS[description["task"]](**description["readout"])
            network = MODELS[description["name"]].network(AutoConfig.for_model(**description["model"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetDMError(f"{folder / CONFIG_FILE} describes no dense network ({error!r}). {remedy}") from None
        try:
            network.load_state_dict(load_file(folder / WEIGHTS_FILE))
        except FileNotFoundError:
            raise DatasetDMError(f"{folder / WEIGHTS_FILE} is missing. {remedy}") from None
        except (SafetensorError, RuntimeError, OSError) as error:
            raise DatasetDMError(
                f"{folder / WEIGHTS_FILE} does not fit its {CONFIG_FILE} ({error}). {remedy}"
            ) from None
        return cls(network, readout, categories=categories, image_size=image_size, device=choose_device(device))

    @torch.no_grad()
    def predict(self, images: Sequence[np.ndarray], hints: Sequence[Any] | None = None) -> list[Any]:
        """The annotation of each image (uint8, H x W x 3, RGB, of any size) at its size; hints are not used."""
        found = []
        for image in checked_images(images):
            pixels = normalise(self._fitted(image)[None]).to(self.device)
            found.append(self._annotation(self.network(pixels)[0], image.shape[:2]))
        return found

    def _fitted(self, image: np.ndarray) -> np.ndarray:
        """The image resized, in the upper left corner of a picture of the mean colour."""
        height, width = fitting_size(image.shape[:2], self.image_size)
        small = resized(image, (height, width))
        picture = np.empty((padded(height), padded(width), 3), dtype=np.uint8)
        picture[:] = np.round(MEAN)
        picture[: small.shape[0], : small.shape[1]] = small
        return picture

    def _annotation(self, scores: torch.Tensor, size: tuple[int, ...]) -> Any:
        height, width = fitting_size(size, self.image_size)
        return self.readout.annotation(scores[:, :height, :width], (size[0], size[1]))


load = DensePredictor.load


def train(
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
    """Train a network; every arm gets the same number of iterations.

    Writes `model.safetensors`, `config.json` (all that `load` needs), `metrics.json` (figures on `dev`) and
    `curves.csv` (training loss) into `out`, all at once at the end.

    Args:
        settings: model and schedule.
        task: `semantic` or `depth`.
        datasets: the sources and their shares of a batch.
        dev: held-out images for the metrics; the weights are those of the last iteration.
        seed: decides initial weights, order and augmentation.
        out: folder to (over)write.
        device: auto, cpu, cuda, cuda:1, ...
        resume: folder of checkpoints, written every `settings.checkpoint_every` iterations and gone on from.

    Returns:
        The metrics on `dev`.

    Raises:
        DatasetDMError: unknown model, unusable weights or annotations, a batch of one where it needs two, a loss
            without bounds.
    """
    where = choose_device(device)
    check_limits(settings)
    set_seed(seed)
    readout = READOUTS[task.name].of(task)
    network = build_network(settings, task.name, readout.channels)
    views = TrainingViews(
        datasets,
        task=task,
        readout=readout,
        image_size=settings.image_size,
        num_views=settings.num_batches * settings.batch_size,
        seed=seed,
    )
    first_targets = [views[number]["targets"] for number in range(min(FITTING_VIEWS, len(views)))]
    readout = readout.fitted(torch.stack(first_targets))
    dev_samples = task.load(dev.folder, dev.subset)
    curve = run_training(LearningNetwork(network, readout), views, settings, seed=seed, device=where, resume=resume)
    predictor = DensePredictor(
        network, readout, categories=task.categories, image_size=settings.image_size, device=where
    )
    metrics = evaluate(predictor, task, dev_samples)
    description = {
        "name": settings.model,
        "task": task.name,
        "image_size": settings.image_size,
        "categories": category_records(task.categories),
        "readout": asdict(readout),
        "model": network.model.config.to_dict(),
    }
    with replacing(out) as folder:
        folder.mkdir()
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / WEIGHTS_FILE)
        curve.save(folder / "curves.csv")
        write_json(folder / "metrics.json", metrics)
        write_json(folder / CONFIG_FILE, description)
    return metrics


class LearningNetwork(nn.Module):
    """A network with its readout's loss, as the Trainer wants it."""

    def __init__(self, network: SegmentationNetwork, readout: Readout):
        super().__init__()
        self.network, self.readout = network, readout

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        """The `loss` of normalised images B x 3 x H x W."""
        return {"loss": self.network.loss(images, targets, self.readout.loss)}

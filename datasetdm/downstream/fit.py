"""How every downstream model is trained, whatever its task and framework."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from datasetdm import config
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.evaluation import evaluate
from datasetdm.downstream.model import DownstreamModel
from datasetdm.downstream.registry import find_model
from datasetdm.downstream.sources import Labelled
from datasetdm.tasks.base import Task
from datasetdm.utils.files import replacing, write_json

METRICS_FILE, CURVES_FILE = "metrics.json", "curves.csv"


def fit(
    family: type[DownstreamModel],
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
    """Train a model and write it to a folder.

    The folder gets `model.safetensors`, `config.json` (all that `DownstreamModel.load` needs), `metrics.json` (figures
    on `dev`) and `curves.csv` (training losses), all at once at the end. The weights are those of the last iteration.

    Args:
        family: the class of the model.
        settings: model and schedule; every arm gets the same number of iterations.
        task: what the annotations are.
        datasets: what a batch is drawn from, by weight.
        dev: held-out images for the metrics.
        seed: decides initial weights, order and augmentation.
        out: the folder; what is there is replaced.
        device: auto, cpu, cuda, cuda:1, ...
        resume: folder of checkpoints; a training that was interrupted resumes from the last one.

    Returns:
        The metrics on `dev`.

    Raises:
        DatasetDMError: unusable settings, weights, annotations or device; nothing to train on; a loss that is not
            finite.
    """
    find_model(task.name, settings.model).check(settings)
    where = family.choose_device(device)
    dev_samples = standard_format(*task.kind).load(dev.folder, dev.subset)
    _seed_generators(seed)
    model = family.build(settings, task)
    curve = LossCurve(settings.iterations)
    model.train(settings, datasets, task, curve, seed=seed, device=where, resume=resume)
    metrics = evaluate(model.to(where), task, dev_samples)
    with replacing(out) as folder:
        folder.mkdir()
        model.save(folder)
        curve.save(folder / CURVES_FILE)
        write_json(folder / METRICS_FILE, metrics)
    return metrics


def _seed_generators(seed: int) -> None:
    """Seed whatever a framework may draw initial weights from."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # of all devices

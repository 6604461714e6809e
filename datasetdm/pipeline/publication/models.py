"""Which models are published: the P-Decoder that made the labels, and the best downstream model."""

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from datasetdm.arms import ARMS, Training
from datasetdm.downstream.model import CONFIG_FILE, WEIGHTS_FILE
from datasetdm.pipeline.context import Context
from datasetdm.utils.digests import file_digest
from datasetdm.utils.files import read_json


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A published training.

    Attributes:
        training: arm (or `p_decoder`) and seed.
        folder: with weights and configuration.
        dev: its figures on dev.
    """

    training: Training
    folder: Path
    dev: dict[str, float]

    @property
    def sha256(self) -> str:
        """Of the file with the weights."""
        return file_digest(self.folder / WEIGHTS_FILE).hex()

    def copy(self, folder: Path) -> None:
        """Copy weights and configuration; curves and figures stay where they are."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in (WEIGHTS_FILE, CONFIG_FILE):
            shutil.copyfile(self.folder / name, folder / name)


def best_decoder(context: Context, arm: str) -> TrainedModel:
    """The P-Decoder with the best figure on dev, as in the model registry."""
    found = [_trained(Training(arm, seed), context.paths.decoders / str(seed)) for seed in context.seeds]
    return _best(context, found)


def champion(context: Context) -> TrainedModel | None:
    """The downstream model with the best figure on dev, controls aside; None if none is trained."""
    arms = [arm for arm in context.settings.experiment.arms if not ARMS[arm].control]
    trainings = [Training(arm, seed) for arm in arms for seed in context.seeds]
    folders = {training: context.paths.downstream / str(training) for training in trainings}
    found = [_trained(training, folder) for training, folder in folders.items() if (folder / WEIGHTS_FILE).exists()]
    return _best(context, found) if found else None


def _trained(training: Training, folder: Path) -> TrainedModel:
    return TrainedModel(
        training=training, folder=folder, dev=read_json(folder / "metrics.json", remedy="Run its stage again.")
    )


def _best(context: Context, models: list[TrainedModel]) -> TrainedModel:
    """The best on dev; one without a figure, as dev held nothing to measure, is the last choice."""
    task = context.task()
    sign = 1 if task.higher_is_better else -1

    def merit(model: TrainedModel) -> float:
        figure = model.dev.get(task.primary_metric)
        return sign * figure if figure is not None and math.isfinite(figure) else -math.inf

    return max(models, key=merit)

"""Checkpoints of a detector's training, from which an interrupted training resumes.

mmengine's own checkpoints hold pickles. These hold tensors, numbers and texts, and are read with `weights_only`.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from datasetdm.downstream.curve import LossCurve
from datasetdm.errors import DatasetDMError
from datasetdm.utils.checkpoints import read_checkpoint, write_checkpoint

FILE = "checkpoint.pt"


class Checkpoints(Hook):
    """Resumes from the checkpoint of a folder where there is a whole one, and writes the next ones there.

    Without worker processes for the data the training then ends with the same weights as an uninterrupted one.

    Args:
        folder: where the checkpoint lies; None: nothing is read or written.
        curve: its rows are part of the checkpoints that are written.
        every: batches between checkpoints.
        end: batches of the whole training; no checkpoint is written after the last.

    Attributes:
        done: batches that were learnt before this run.
        rows: of the loss curve until then.
    """

    priority = "VERY_LOW"  # after the hook that steps the learning rate

    def __init__(self, folder: Path | None, curve: LossCurve, *, every: int, end: int) -> None:
        self.file = folder / FILE if folder else None
        self.curve, self.every, self.end = curve, every, end
        self.content: Mapping[str, Any] = (self.file and read_checkpoint(self.file)) or {}
        self.done: int = self.content.get("done", 0)
        self.rows: list[dict[str, float]] = list(self.content.get("rows", ()))

    def before_train(self, runner: Runner) -> None:
        """Restore the state of the training that the checkpoint holds."""
        if not self.content:
            return
        try:
            runner.model.load_state_dict(self.content["model"])
            runner.optim_wrapper.load_state_dict(self.content["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise DatasetDMError(
                f"{self.file} is of another model ({error}): remove it to start from the beginning."
            ) from None
        for scheduler, state in zip(runner.param_schedulers, self.content["schedulers"], strict=True):
            scheduler.load_state_dict(state)
        _set_random_state(self.content["random"])
        self.content = {}

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Write a checkpoint where one is due."""
        done = self.done + batch_idx + 1
        if self.file is None or done % self.every or done == self.end:
            return
        content = {
            "done": done,
            "model": runner.model.state_dict(),
            "optimizer": runner.optim_wrapper.state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in runner.param_schedulers],
            "rows": self.curve.rows,
            "random": _random_state(),
        }
        write_checkpoint(self.file, content)


def _random_state() -> dict[str, Any]:
    """The state of all generators that augmentation and model draw from, as tensors and numbers."""
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }


def _set_random_state(state: Mapping[str, Any]) -> None:
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])

"""One training with the Trainer of transformers: a fixed number of iterations on one device, and its loss curve."""

import contextlib
import csv
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from datasetdm import config
from datasetdm.errors import DatasetDMError
from datasetdm.utils.inventory import find_damage, take_inventory
from datasetdm.utils.progress import Progress, say

INVENTORY = "inventory.json"
log = logging.getLogger(__name__)

WARMUP = 0.05  # of the iterations
WEIGHT_DECAY = 0.05
MAX_GRADIENT_NORM = 5.0


class LossCurve(TrainerCallback):
    """Notes the mean loss of every fiftieth of the training.

    Attributes:
        rows: iteration, learning rate and loss.
    """

    def __init__(self, iterations: int):
        self.every = max(1, iterations // 50)
        self.rows: list[dict[str, float]] = []

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Take over what a training that goes on had noted."""
        self.rows = [_row(logs["step"], logs) for logs in state.log_history if "loss" in logs]
        self.pace = Progress(state.max_steps, "iterations", done=state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **others: Any) -> TrainerControl:
        """Have the loss logged now, or not."""
        control.should_log = state.global_step % self.every == 0 or state.global_step == state.max_steps
        return control

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **others: Any,
    ) -> None:
        """Take in the mean loss since the last time."""
        if logs is None or "loss" not in logs:
            return
        loss = float(logs["loss"])
        if not np.isfinite(loss):
            raise DatasetDMError(
                f"The network's loss is {loss} after {state.global_step} iterations. Lower downstream.learning_rate."
            )
        self.rows.append(_row(state.global_step, logs))
        self.pace.update(state.global_step, f"loss {loss:.3f}")

    def save(self, file: Path) -> None:
        """Write the rows as CSV."""
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)


def _row(iteration: int, logs: dict[str, float]) -> dict[str, float]:
    return {"iteration": iteration, "learning_rate": float(logs["learning_rate"]), "loss": float(logs["loss"])}


class OneDevice(TrainingArguments):
    """Arguments of a training on one device: the Trainer itself would spread a batch over all GPUs that it sees."""

    @property
    def n_gpu(self) -> int:
        """One GPU or none."""
        return min(1, super().n_gpu)

    @property
    def device(self) -> torch.device:
        """The CPU, or the current GPU."""
        return torch.device(super().device.type)  # the parent sets up more than it returns


def run_training(
    model: nn.Module,
    views: Dataset[Any],
    settings: config.Downstream,
    *,
    seed: int,
    device: torch.device,
    resume: Path | None = None,
) -> LossCurve:
    """Train with AdamW, a short linear warm-up, then a cosine down to zero; the model ends up trained on `device`.

    Args:
        model: gives a dictionary with `loss` when called with the items of a batch by their names.
        views: all that is learnt, in its order: `settings.num_batches` x `settings.batch_size` items.
        settings: the schedule.
        seed: of whatever the model draws itself.
        device: where to train.
        resume: folder of checkpoints, written every `settings.checkpoint_every` iterations and gone on from.

    Raises:
        DatasetDMError: the loss is not finite.
    """
    curve = LossCurve(settings.iterations)
    keeps = resume is not None and settings.iterations > settings.checkpoint_every
    with tempfile.TemporaryDirectory() as workspace:
        arguments = OneDevice(
            output_dir=str(resume) if keeps else workspace,
            seed=seed,
            use_cpu=device.type == "cpu",
            max_steps=settings.iterations,
            per_device_train_batch_size=settings.batch_size,
            gradient_accumulation_steps=settings.accumulate,
            train_sampling_strategy="sequential",  # the views have their order
            optim="adamw_torch_fused",
            learning_rate=settings.learning_rate,
            weight_decay=WEIGHT_DECAY,
            max_grad_norm=MAX_GRADIENT_NORM,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, round(WARMUP * settings.iterations)),
            # Preparing a batch is a small part of an iteration on the CPU; a GPU would wait for it.
            dataloader_num_workers=0 if device.type == "cpu" else min(8, os.cpu_count() or 1),
            dataloader_pin_memory=device.type != "cpu",
            remove_unused_columns=False,
            logging_strategy="no",  # the curve decides
            logging_nan_inf_filter=False,
            save_strategy="steps" if keeps else "no",
            save_steps=settings.checkpoint_every,
            save_total_limit=1,
            report_to="none",
            disable_tqdm=True,
        )
        with _current(device):
            trainer = Trainer(model=model, args=arguments, train_dataset=views, callbacks=[curve, Inventories()])
            trainer.remove_callback(PrinterCallback)
            trainer.train(resume_from_checkpoint=_last_checkpoint(resume) if resume else None)
    return curve


class Inventories(TrainerCallback):
    """Adds an inventory to every checkpoint, so that a damaged one is not used."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Called when the checkpoint is written."""
        folder = Path(str(args.output_dir)) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        take_inventory(folder, folder / INVENTORY)


def _last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that is whole: the Trainer writes its state last."""
    written = [file.parent for file in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*/{TRAINER_STATE_NAME}")]
    whole = []
    for path in written:
        if damage := find_damage(path, path / INVENTORY):
            log.warning("%s is damaged (%s) and is ignored", path, damage)
        else:
            whole.append(path)
    newest = max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
    if newest is None:
        return None
    say(f"continues at {newest.name}")
    return str(newest)


@contextlib.contextmanager
def _current(device: torch.device) -> Iterator[None]:
    """`device` as the current GPU, where it is one."""
    with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
        yield

"""Training with the Trainer of transformers: a fixed number of iterations on one device."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from datasetdm import config
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.recipe import MAX_GRADIENT_NORM, WARMUP, WEIGHT_DECAY
from datasetdm.utils.inventory import find_damage, take_inventory
from datasetdm.utils.progress import say
from datasetdm.utils.workers import num_workers

INVENTORY = "inventory.json"
log = logging.getLogger(__name__)


def run_trainer(
    model: nn.Module,
    views: Dataset[Any],
    settings: config.Downstream,
    curve: LossCurve,
    *,
    seed: int,
    device: torch.device,
    bfloat16: bool = False,
    resume: Path | None = None,
) -> None:
    """Train with AdamW, a short linear warm-up, then a cosine down to zero; the model ends up trained on `device`.

    Args:
        model: gives a dictionary with `loss` when called with the items of a batch by their names.
        views: all training examples, in their order: `settings.num_batches` x `settings.batch_size`.
        settings: the schedule.
        curve: takes the losses.
        seed: of whatever the model draws itself.
        device: where to train.
        bfloat16: whether products are made in it (`trains_in_bfloat16`).
        resume: folder of checkpoints, written every `settings.checkpoint_every` iterations. The training resumes from
            the last one.

    Raises:
        DatasetDMError: the loss is not finite.
    """
    keeps = resume is not None and settings.iterations > settings.checkpoint_every
    with tempfile.TemporaryDirectory() as workspace:
        arguments = OneDevice(
            output_dir=str(resume) if keeps else workspace,
            seed=seed,
            use_cpu=device.type == "cpu",
            bf16=bfloat16,
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
            dataloader_num_workers=num_workers(device),
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
            trainer = Trainer(
                model=model, args=arguments, train_dataset=views, callbacks=[CurveCallback(curve), Inventories()]
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train(resume_from_checkpoint=_last_checkpoint(resume) if resume else None)


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


class CurveCallback(TrainerCallback):
    """Passes the losses on to a curve."""

    def __init__(self, curve: LossCurve):
        self.curve = curve

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Give the curve the rows that the checkpoint holds."""
        rows = [_row(logs["step"], logs) for logs in state.log_history if "loss" in logs]
        self.curve.begin(state.global_step, rows)

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **others: Any) -> TrainerControl:
        """Ask the Trainer for the mean loss where a row is due."""
        control.should_log = self.curve.is_due(state.global_step)
        return control

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **others: Any,
    ) -> None:
        """Pass on the mean loss since the last row."""
        if logs is not None and "loss" in logs:
            self.curve.record(_row(state.global_step, logs))


def _row(iteration: int, logs: dict[str, float]) -> dict[str, float]:
    return {"iteration": iteration, "learning_rate": float(logs["learning_rate"]), "loss": float(logs["loss"])}


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

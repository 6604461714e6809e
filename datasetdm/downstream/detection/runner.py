"""Training with the Runner of mmengine: a fixed number of iterations on one device."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.detection.checkpoints import Checkpoints
from datasetdm.downstream.detection.data import train_loader
from datasetdm.downstream.detection.precision import optim_wrapper_type
from datasetdm.downstream.recipe import MAX_GRADIENT_NORM, WARMUP, WEIGHT_DECAY
from datasetdm.downstream.sources import Labelled
from datasetdm.utils.progress import say
from datasetdm.utils.workers import num_workers


def run_runner(
    network: BaseDetector,
    datasets: Sequence[Labelled],
    categories: Sequence[Category],
    settings: config.Downstream,
    curve: LossCurve,
    *,
    seed: int,
    device: torch.device,
    resume: Path | None = None,
) -> None:
    """Train with AdamW, a short linear warm-up, then a cosine down to zero; the network ends up trained on `device`.

    Args:
        network: with its initial weights.
        datasets: what a batch is drawn from, by weight.
        categories: in label order.
        settings: the schedule.
        curve: takes the losses.
        seed: decides order and augmentation.
        device: where to train.
        resume: folder of the checkpoint, written every `settings.checkpoint_every` iterations. The training resumes
            from it.

    Raises:
        DatasetDMError: there is no image to train on, the loss is not finite, or the checkpoint is of another model.
    """
    end = settings.num_batches
    checkpoints = Checkpoints(resume, curve, every=settings.checkpoint_every * settings.accumulate, end=end)
    if checkpoints.done:
        say(f"continues at iteration {checkpoints.done // settings.accumulate}")
    loader = train_loader(
        datasets,
        categories,
        image_size=settings.image_size,
        batch_size=settings.batch_size,
        num_batches=end,
        seed=seed,
        num_workers=num_workers(device),
        start=checkpoints.done,
        hide_ignored=settings.hide_ignored,
    )
    curve_hook = CurveHook(curve, accumulate=settings.accumulate, done=checkpoints.done, device=device)
    with tempfile.TemporaryDirectory() as workspace:
        runner = Runner(
            model=network,
            work_dir=workspace,
            train_dataloader=loader,
            train_cfg={"type": "IterBasedTrainLoop", "max_iters": end - checkpoints.done, "val_interval": end},
            optim_wrapper=_optim_wrapper(settings, device),
            param_scheduler=_schedule(end),
            # The weights are saved as safetensors at the end, checkpoints by a hook of this project.
            default_hooks={"checkpoint": None, "logger": None, "timer": None, "sampler_seed": None},
            custom_hooks=[curve_hook, checkpoints],
            visualizer={"type": "Visualizer", "vis_backends": []},
            randomness={"seed": seed},
            default_scope="mmdet",
            log_level="ERROR",
            experiment_name=Path(workspace).name,
        )
        curve.begin(checkpoints.done // settings.accumulate, checkpoints.rows)
        runner.train()


def _optim_wrapper(settings: config.Downstream, device: torch.device) -> dict[str, Any]:
    return {
        "type": optim_wrapper_type(settings, device),
        "optimizer": {"type": "AdamW", "lr": settings.learning_rate, "weight_decay": WEIGHT_DECAY, "fused": True},
        "paramwise_cfg": {"norm_decay_mult": 0.0, "bias_decay_mult": 0.0},
        "clip_grad": {"max_norm": MAX_GRADIENT_NORM},
        "accumulative_counts": settings.accumulate,
    }


def _schedule(end: int) -> list[dict[str, Any]]:
    """Warm-up and cosine, in batches."""
    warmup = max(2, int(WARMUP * end))  # mmengine's LinearLR does not arrive within one iteration
    return [
        {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False, "begin": 0, "end": warmup},
        {"type": "CosineAnnealingLR", "by_epoch": False, "begin": warmup, "end": max(end, warmup + 1)},
    ]


class CurveHook(Hook):
    """Passes the mean losses on to a curve; at the start it moves the model to its device.

    Args:
        curve: takes the losses.
        accumulate: batches of an iteration.
        done: batches that were learnt before this run.
        device: where to train. mmengine takes the first GPU wherever there is one; the settings may say otherwise.
    """

    def __init__(self, curve: LossCurve, *, accumulate: int, done: int, device: torch.device):
        self.curve, self.accumulate, self.done, self.device = curve, accumulate, done, device
        self._terms: list[Mapping[str, float]] = []

    def before_train(self, runner: Runner) -> None:
        """Called by mmengine before the first batch."""
        runner.model.to(self.device)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Called by mmengine after each batch, with its losses."""
        self._terms.append({key: float(torch.as_tensor(value).detach()) for key, value in (outputs or {}).items()})
        iteration, rest = divmod(self.done + batch_idx + 1, self.accumulate)
        if rest or not self.curve.is_due(iteration):
            return
        means = {key: float(np.mean([terms[key] for terms in self._terms])) for key in self._terms[0]}
        learning_rate = runner.optim_wrapper.get_lr()["lr"][0]
        self.curve.record({"iteration": iteration, "learning_rate": learning_rate, **means})
        self._terms.clear()


def quieten() -> None:
    """Have mmengine log errors only: it reports every tensor that it initialises.

    Its current logger is the newest one. The last runner's logger writes to a file that may be closed by now, so each
    training gets a new one.
    """
    MMLogger.get_instance(f"datasetdm-{uuid4().hex}", log_level="ERROR")

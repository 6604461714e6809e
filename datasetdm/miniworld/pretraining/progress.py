"""What the pretraining stages share: learning rate, log and checkpoints."""

import csv
import time
from pathlib import Path
from typing import Any

import torch

from datasetdm.utils.checkpoints import read_checkpoint, write_checkpoint


def learning_rate(peak: float, step: int, steps: int, *, warmup: int, decay: float) -> float:
    """Linear rise over `warmup` steps, constant, linear fall to zero over the last share `decay` of `steps`.

    transformers' `get_wsd_schedule` has the same shape but rests at rate 0 in its first step.
    """
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    fall = min(1.0, (steps - step) / (decay * steps)) if decay else 1.0
    return peak * rise * fall


def step_generator(seed: int, stage: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Randomness of one step, from its number alone: a resumed run gets the same numbers as an uninterrupted one."""
    return torch.Generator(device).manual_seed(((seed * 16 + stage) << 32) + step)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The same rate for every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Tensors and numbers, written to a temporary file and moved into place."""
    write_checkpoint(path, state)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state last saved; None if there is none or it is damaged."""
    state = read_checkpoint(path)
    return None if state is None else dict(state)


class Log:
    """Mean losses every so many steps, appended to a CSV file and printed."""

    def __init__(self, path: Path, stage: str, every: int = 50) -> None:
        self.path, self.stage, self.every = path, stage, every
        self._sums: dict[str, torch.Tensor] = {}
        self._count = 0
        self._since = time.monotonic()

    def add(self, step: int, rate: float, losses: dict[str, torch.Tensor]) -> None:
        """Count in one step; writes one line per loss when `every` steps are full."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach()  # a number would have to wait for the GPU
        self._count += 1
        if self._count == self.every:
            self._write(step + 1, rate)

    def _write(self, step: int, rate: float) -> None:
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        seconds = (time.monotonic() - self._since) / self._count
        print(
            f"{self.stage} {step}: " + " ".join(f"{k} {v:.4f}" for k, v in means.items()) + f" ({seconds:.2f} s/step)",
            flush=True,
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["stage", "step", "learning_rate", "seconds_per_step", "name", "value"])
            for name, value in means.items():
                writer.writerow([self.stage, step, f"{rate:.3g}", f"{seconds:.3f}", name, f"{value:.5f}"])
        self._sums, self._count, self._since = {}, 0, time.monotonic()

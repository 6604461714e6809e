"""A training with the Trainer of transformers that is cut off, on a network of one layer."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset

from datasetdm import config
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.trainer import CurveCallback, run_trainer

SETTINGS = config.Downstream(
    model="line", image_size=8, iterations=7, batch_size=2, learning_rate=0.1, checkpoint_every=2
)


class Line(nn.Module):
    """Fits a line; a little random noise makes the random state count."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.layer(x) + 0.1 * torch.randn_like(x) - y).square().mean()}


class Points(Dataset[Any]):
    def __len__(self) -> int:
        return SETTINGS.iterations * SETTINGS.batch_size

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": torch.tensor([float(index)]), "y": torch.tensor([2.0 * index])}


def fit(resume: Path | None, settings: config.Downstream = SETTINGS) -> tuple[Line, LossCurve]:
    torch.manual_seed(0)
    model, curve = Line(), LossCurve(settings.iterations)
    run_trainer(model, Points(), settings, curve, seed=0, device=torch.device("cpu"), resume=resume)
    return model, curve


def cut_after(monkeypatch: pytest.MonkeyPatch, iterations: int, resume: Path) -> None:
    """A training that ends with an interruption."""
    step_end = CurveCallback.on_step_end

    def cut(self: CurveCallback, args: Any, state: Any, control: Any, **others: Any) -> Any:
        if state.global_step > iterations:
            raise KeyboardInterrupt
        return step_end(self, args, state, control, **others)

    with monkeypatch.context() as patch:
        patch.setattr(CurveCallback, "on_step_end", cut)
        with pytest.raises(KeyboardInterrupt):
            fit(resume)


def check_same(first: tuple[Line, LossCurve], second: tuple[Line, LossCurve], tolerance: float = 0.0) -> None:
    for one, other in zip(first[0].parameters(), second[0].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=0)
    assert [row["iteration"] for row in second[1].rows] == list(range(1, SETTINGS.iterations + 1))
    losses = [[row["loss"] for row in curve.rows] for _, curve in (first, second)]
    np.testing.assert_allclose(*losses, rtol=max(tolerance, 1e-7))


def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(None)
    cut_after(monkeypatch, 5, tmp_path)
    assert [folder.name for folder in tmp_path.iterdir()] == ["checkpoint-4"]
    (tmp_path / "checkpoint-6").mkdir()  # cut off while it was written: it has no state
    check_same(whole, fit(tmp_path))


@pytest.mark.parametrize("name", ["optimizer.pt", "model.safetensors", "scheduler.pt", "trainer_state.json"])
def test_a_damaged_checkpoint_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = fit(None)
    cut_after(monkeypatch, 5, tmp_path)
    file = tmp_path / "checkpoint-4" / name
    os.truncate(file, file.stat().st_size // 2)
    check_same(whole, fit(tmp_path))
    assert f"checkpoint-4 is damaged ({name} has" in caplog.text


def test_a_training_that_was_cut_off_after_its_end_is_not_trained_again(tmp_path: Path) -> None:
    first, again = fit(tmp_path), fit(tmp_path)
    check_same(first, again)


def test_gradients_of_several_batches_make_one_step() -> None:
    halves = SETTINGS.model_copy(update={"batch_size": 1, "accumulate": 2})
    check_same(fit(None), fit(None, halves), tolerance=1e-4)


def test_short_trainings_write_no_checkpoints(tmp_path: Path) -> None:
    fit(tmp_path, SETTINGS.model_copy(update={"checkpoint_every": 7}))
    assert not list(tmp_path.iterdir())

"""Which trainings multiply in bfloat16, and what that does to a network of transformers."""

import pytest
import torch
from torch import nn

from datasetdm import config
from datasetdm.downstream import precision
from datasetdm.downstream.curve import LossCurve
from datasetdm.downstream.precision import pays_in_bfloat16, trains_in_bfloat16
from datasetdm.downstream.trainer import run_trainer

CPU, GPU = torch.device("cpu"), torch.device("cuda")
NATIVE = [({}, False), ({"avx512_bf16": False, "avx2": True}, False), ({"amx_bf16": True}, True)]


def settings(model: str, **changes: object) -> config.Downstream:
    values = {"model": model, "image_size": 64, "iterations": 3, "batch_size": 2, "learning_rate": 0.1}
    return config.Downstream(**{**values, **changes})


@pytest.mark.parametrize(("capabilities", "native"), NATIVE)
def test_only_what_a_cpu_does_itself_counts(
    capabilities: dict[str, bool], native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert pays_in_bfloat16(CPU) is native


@pytest.mark.parametrize("native", [True, False])
def test_gpus_without_bfloat16_train_in_float32(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert pays_in_bfloat16(GPU) is native


def test_settings_model_and_device_have_to_allow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "pays_in_bfloat16", lambda device: device == CPU)
    upernet = settings("upernet_r18")
    assert trains_in_bfloat16(upernet, "semantic", CPU) and trains_in_bfloat16(upernet, "depth", CPU)
    assert not trains_in_bfloat16(upernet, "semantic", GPU)
    assert not trains_in_bfloat16(settings("upernet_r18", autocast=False), "semantic", CPU)
    assert not trains_in_bfloat16(settings("glpn_small"), "depth", CPU)


class Watched(nn.Module):
    """Notes the precision of its product."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.seen = nn.Linear(4, 1), set[torch.dtype]()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        product = self.layer(x)
        self.seen.add(product.dtype)
        return {"loss": product.float().square().mean()}


def test_each_training_has_its_own_precision() -> None:
    """One after the other in one process: the Trainer keeps some of its state for the whole process."""
    points = [{"x": torch.rand(4)} for _ in range(6)]
    for wanted in (True, False, True):
        model, chosen = Watched(), settings("upernet_r18")
        run_trainer(model, points, chosen, LossCurve(3), seed=0, device=CPU, bfloat16=wanted)  # type: ignore[arg-type]
        assert model.seen == {torch.bfloat16 if wanted else torch.float32}
        assert model.layer.weight.dtype == torch.float32

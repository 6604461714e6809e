from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.downstream import DOWNSTREAM, Labelled, precision
from datasetdm.downstream.detection.precision import Bfloat16OptimWrapper, optim_wrapper_type
from datasetdm.tasks.instance import InstanceTask

CPU = torch.device("cpu")


def solov2(**changes: object) -> config.Downstream:
    values = {"model": "solov2_r18", "image_size": 64, "iterations": 2, "batch_size": 2, "learning_rate": 1e-3}
    return config.Downstream(**{**values, **changes})


def test_products_are_bfloat16_and_weights_are_not() -> None:
    layer = nn.Linear(4, 2)
    wrapper = Bfloat16OptimWrapper(optimizer=torch.optim.SGD(layer.parameters(), lr=0.1))
    with wrapper.optim_context(layer):
        product = layer(torch.ones(1, 4))
    assert product.dtype == torch.bfloat16
    before = layer.weight.detach().clone()
    wrapper.update_params(product.float().sum())
    assert layer.weight.dtype == torch.float32 and not torch.equal(layer.weight, before)
    assert layer(torch.ones(1, 4)).dtype == torch.float32


def test_models_with_mmcvs_own_operators_stay_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "pays_in_bfloat16", lambda device: True)
    chosen = {
        case: optim_wrapper_type(settings, CPU)
        for case, settings in {
            "solov2": solov2(),
            "switched off": solov2(autocast=False),
            "mask rcnn": solov2(model="mask-rcnn_r18"),
        }.items()
    }
    assert chosen == {"solov2": "Bfloat16OptimWrapper", "switched off": "OptimWrapper", "mask rcnn": "OptimWrapper"}
    assert optim_wrapper_type(solov2(), torch.device("cuda")) == "OptimWrapper"  # mmcv's focal loss


def test_a_training_in_bfloat16_leaves_float32_weights(
    shapes: dict[str, Labelled], categories: tuple[Category, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {}
    for native in (True, False):
        monkeypatch.setattr(precision, "pays_in_bfloat16", lambda device, native=native: native)
        DOWNSTREAM["instance"].train(
            solov2(),
            datasets=[shapes["train"]],
            task=InstanceTask(categories),
            dev=shapes["dev"],
            seed=0,
            out=tmp_path / str(native),
            device="cpu",
        )
        weights[native] = load_file(tmp_path / str(native) / "model.safetensors")
    assert {value.dtype for value in weights[True].values()} <= {torch.float32, torch.int64}
    name = "mask_head.conv_cls.weight"
    assert torch.isfinite(weights[True][name]).all()
    assert not torch.equal(weights[True][name], weights[False][name])  # it did make a difference

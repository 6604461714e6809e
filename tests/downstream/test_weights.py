"""Where the weights of a backbone come from."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from datasetdm import config
from datasetdm.diffusion import find_weights
from datasetdm.downstream.weights import read_weights, weights_file
from datasetdm.errors import DatasetDMError


def test_a_folder_has_the_file(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.ones(2)}, tmp_path / "model.safetensors")
    file = weights_file(str(tmp_path))
    assert file == tmp_path / "model.safetensors"
    torch.testing.assert_close(read_weights(file), {"conv1.weight": torch.ones(2)})


@pytest.mark.parametrize("name", ["{}", "{}/nowhere", "data/backbones/nowhere"])
def test_a_missing_file_is_told_with_the_remedy(name: str, tmp_path: Path) -> None:
    name = name.format(tmp_path)
    with pytest.raises(DatasetDMError, match=rf"is {name}, which has no model.safetensors.*Name a folder.*null"):
        weights_file(name)


def test_a_model_of_the_hub_is_taken_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--lab--swin" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    save_file({"norm.weight": torch.ones(2)}, snapshot / "model.safetensors")
    (tmp_path / "models--lab--swin" / "refs").mkdir()
    (tmp_path / "models--lab--swin" / "refs" / "main").write_text("0123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    weights_file.cache_clear()
    (tmp_path / "models--lab--swin" / "refs" / "v1").write_text("0123")
    for name in ("lab/swin", "lab/swin@v1"):
        assert weights_file(name) == snapshot / "model.safetensors"
    with pytest.raises(DatasetDMError, match="lab/swin@v2, which is not on this machine"):
        weights_file("lab/swin@v2")
    with pytest.raises(DatasetDMError, match=r"lab/other, which is not on this machine"):
        weights_file("lab/other")


def test_without_a_network_the_hub_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(DatasetDMError, match=r"swin-none, which is not on this machine, and the hub cannot.*null"):
        weights_file("lab/swin-none")
    with pytest.raises(DatasetDMError, match=r"lab/none cannot be fetched \(it is not on this machine"):
        find_weights(config.Backbone(path="lab/none", image_size=64))
    assert "Retrying" not in caplog.text


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"nonsense")
    with pytest.raises(DatasetDMError, match="cannot be read"):
        read_weights(file)

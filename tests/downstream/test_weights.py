"""Where the weights of a backbone come from."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

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
    with pytest.raises(DatasetDMError, match="lab/swin@v2, which has no"):
        weights_file("lab/swin@v2")
    with pytest.raises(DatasetDMError, match=r"lab/other, which has no model\.safetensors"):
        weights_file("lab/other")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"nonsense")
    with pytest.raises(DatasetDMError, match="cannot be read"):
        read_weights(file)

"""The device that the settings name."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from datasetdm.errors import DatasetDMError
from datasetdm.utils.devices import choose_device, one_gpu


def test_auto_is_a_gpu_where_there_is_one() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99"])
def test_a_device_that_does_not_exist_is_a_clear_error(name: str) -> None:
    with pytest.raises(
        DatasetDMError, match=rf"^device in params\.yaml is '{name}', which cannot .* Set it to cpu or auto"
    ):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_on_a_machine_without_one_is_a_clear_error() -> None:
    with pytest.raises(DatasetDMError, match="is 'cuda', which cannot be used"):
        choose_device("cuda")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path) -> list[int]:
    """Two GPUs; the list holds those that are in use now, in the order in which they were taken."""
    used: list[int] = []

    @contextmanager
    def use(number: int):
        used.append(number)
        yield
        used.remove(number)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"gpu-{number}"))
    monkeypatch.setattr(torch.cuda, "device", use)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return used


def test_each_unit_has_the_gpu_that_the_fewest_use(gpus: list[int]) -> None:
    with one_gpu("auto"):
        with one_gpu("cuda"), one_gpu("cuda"):
            assert gpus == [0, 1, 0]
        with one_gpu("cuda"):
            assert gpus == [0, 1]
    assert gpus == []


@pytest.mark.parametrize("name", ["cpu", "cuda:1"])
def test_a_device_that_is_named_stays(gpus: list[int], name: str) -> None:
    with one_gpu(name):
        assert gpus == []

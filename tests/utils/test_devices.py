"""The device that the settings name."""

import pytest
import torch

from datasetdm.errors import DatasetDMError
from datasetdm.utils.devices import choose_device


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

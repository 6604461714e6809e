"""The device to run on."""

import torch

from datasetdm.errors import DatasetDMError


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA where there is any, else the CPU.

    Raises:
        DatasetDMError: the device does not exist, or torch was not built for it.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DatasetDMError(
            f"device in params.yaml is '{name}', which cannot be used: {reason}. Set it to cpu or auto."
        ) from None
    return torch.device(name)

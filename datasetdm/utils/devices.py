"""The device to run on."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout

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


@contextmanager
def one_gpu(name: str) -> Iterator[None]:
    """Within the block "cuda" is a GPU that no other process has, or else one that the fewest have.

    Nothing changes where there is one GPU, or where `name` (`device` of params.yaml) says which one, or "cpu".
    """
    count = torch.cuda.device_count() if name in ("auto", "cuda") else 0
    if count < 2:
        yield
        return
    number, lock = _free_gpu(count)
    with lock, torch.cuda.device(number):
        yield


def _free_gpu(count: int) -> tuple[int, FileLock]:
    """The number of a GPU, and the lock that says so to others; the system frees it when its holder dies."""
    folder = Path(tempfile.gettempdir()) / f"datasetdm-gpus-{os.getuid()}"  # of this machine alone
    folder.mkdir(exist_ok=True)
    names = [torch.cuda.get_device_properties(number).uuid for number in range(count)]
    for users in itertools.count():
        for number, name in enumerate(names):
            lock = FileLock(folder / f"{name}.{users}", timeout=0)
            with suppress(Timeout):
                lock.acquire()
                return number, lock
    raise AssertionError("there is always a next number of users")

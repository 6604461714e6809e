"""Checkpoints that were damaged do not stand in the way of the training that they were to shorten."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from datasetdm.utils.checkpoints import read_checkpoint, write_checkpoint

CONTENT = {"done": 3, "model": {"weight": torch.arange(1000.0)}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "resume" / "checkpoint.pt"
    write_checkpoint(file, CONTENT)
    return file


def test_a_whole_checkpoint_is_read(file: Path) -> None:
    content = read_checkpoint(file)
    assert content is not None and content["done"] == 3
    torch.testing.assert_close(content["model"]["weight"], torch.arange(1000.0))
    assert [path.name for path in file.parent.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.99])
def test_a_checkpoint_that_was_cut_off_is_ignored(file: Path, share: float, caplog) -> None:
    os.truncate(file, int(file.stat().st_size * share))
    assert read_checkpoint(file) is None
    assert f"{file} is damaged and is ignored" in caplog.text


@pytest.mark.parametrize("data", [b"\0" * 5000, b"\x80\x02.", b"no checkpoint at all", b"PK\x03\x04" + b"\0" * 100])
def test_what_is_no_checkpoint_is_ignored(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    assert read_checkpoint(file) is None


def test_nothing_is_unpickled(file: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "harm"),)

    file.write_bytes(pickle.dumps(Harm()))
    assert read_checkpoint(file) is None and not (tmp_path / "harm").exists()


def test_a_missing_checkpoint_is_nothing(tmp_path: Path) -> None:
    assert read_checkpoint(tmp_path / "checkpoint.pt") is None

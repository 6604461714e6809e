"""What the operating system complains of, in words that fit."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from datasetdm.cli import main, stages
from datasetdm.errors import DatasetDMError, explain
from datasetdm.utils.files import replacing, write_bytes


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, "No such file or directory. It was not there"),
        (errno.EACCES, "Permission denied. You may not read or write it"),
        (errno.EPERM, "Operation not permitted. You may not"),
        (errno.ENOSPC, "No space left on device. Free some space"),
        (errno.EDQUOT, "quota exceeded. Free some space"),
        (errno.EROFS, "Read-only file system. The disk is read-only"),
        (errno.EMFILE, "Too many open files. Raise the limit"),
        (errno.EIO, "error. The disk or its connection fails"),
        (errno.ENOTDIR, "Not a directory. A file or folder of another kind"),
        (errno.ENAMETOOLONG, "too long. Give it a shorter name"),
    ],
)
def test_every_cause_has_its_remedy(number: int, words: str) -> None:
    told = explain(OSError(number, os.strerror(number), "data/x.png"))
    assert told is not None and told.startswith("data/x.png: ") and words in told
    assert ("space" in told) == (number in (errno.ENOSPC, errno.EDQUOT))


def test_a_full_disk_is_told_without_a_file_name_and_a_network_is_not() -> None:
    told = explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))  # so `write` has it
    assert told is not None and told.startswith("No space left on device. Free")
    assert explain(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")) is None
    assert explain(OSError("the share went away")) is None


def test_the_command_line_tells_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def vanish(*_: object) -> None:
        Path("/nowhere/at/all").read_bytes()

    monkeypatch.setattr(stages, "run_stages", vanish)
    assert main(["ingest", "coco"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: /nowhere/at/all: No such file") and "space" not in told


def fail(output: Path, fill: Callable[[Path], object]) -> None:
    with replacing(output) as folder:
        folder.mkdir()
        fill(folder)


def complain(folder: Path) -> None:
    raise DatasetDMError(f"{folder / 'annotations' / 'dev.json'} is broken.")


def write_onto_a_folder(folder: Path) -> None:
    write_bytes(folder / "y.png", b"")
    (folder / "x.png").mkdir()
    (folder / "x.png").write_bytes(b"")


def lose_a_file(folder: Path) -> None:
    with replacing(folder / "x.png") as file:
        file.write_bytes(b"")
        file.unlink()  # os.replace fails then


def test_errors_name_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetDMError) as told:
        fail(tmp_path / "real", complain)
    assert str(told.value) == f"{tmp_path}/real/annotations/dev.json is broken."
    for fill in (write_onto_a_folder, lose_a_file, lambda folder: (folder / "x.png").read_bytes()):
        with pytest.raises(OSError, match=r"x\.png") as failed:
            fail(tmp_path / "real", fill)
        assert failed.value.filename == f"{tmp_path}/real/x.png"
    assert not [*tmp_path.iterdir()]

"""What the command line answers where something outside of it fails."""

import os
import signal
import time
from pathlib import Path

import pytest

from datasetdm.cli import main, stages


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch):
    """Puts a function in the place of every stage."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    yield lambda function: monkeypatch.setattr(stages, "run_stages", function)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_place_that_cannot_be_written_is_named(stage, tmp_path: Path, capsys) -> None:
    (tmp_path / "real").write_text("a file where a folder is needed")
    stage(lambda *_: (tmp_path / "real" / "coco").mkdir())
    assert main(["ingest", "coco"]) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "real") in said and "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_how_to_go_on(stage, number: signal.Signals, capsys) -> None:
    def work(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    stage(work)
    assert main(["ingest", "coco"]) == 130
    assert "continues" in capsys.readouterr().err


def test_a_bare_call_says_what_each_command_does(capsys) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    for name, what in stages.STAGES.items():
        assert name in said and what.split()[0] in said


def test_the_version_is_told(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out.startswith("datasetdm 0.")


@pytest.mark.parametrize("command", [["ingest", "coco"], ["run", "coco"], ["show", "coco"], ["leaderboard"]])
def test_another_folder_is_refused_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], capsys
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").touch()
    inside = tmp_path / "docs"
    inside.mkdir()
    monkeypatch.chdir(inside)
    assert main(command) == 2
    assert f"root folder, which is {tmp_path}." in capsys.readouterr().err
    assert not list(inside.iterdir())

"""Commands of set-up that take minutes show that they are alive, and little else."""

import io
import os
import pty
import sys

import commands
import pytest
from commands import Progress, watch

NINJA = r"\[(\d+)/(\d+)\]"


def test_progress_counts_and_guesses_what_is_left() -> None:
    now = 0.0
    progress = Progress("compiling", "files", NINJA, clock=lambda: now)
    now = 30.0
    assert progress.text() == "compiling: 0:30"  # nothing has been counted yet
    for line in ("Building wheel", "[1/87] c++ -MMD a.cpp", "  [2/87] c++ b.cpp", "warning: [-Wunused]"):
        progress.read(line)
    now = 65.0
    assert progress.text() == "compiling: 2 of 87 files, 1:05"
    now = 85.0
    progress.read("[12/87] c++ c.cpp")
    assert progress.text() == "compiling: 12 of 87 files, 1:25, about 6 min left"  # 11 more in 55 s, then 75 more
    progress.read("[87/87] c++ -shared")
    assert progress.text() == "compiling: 87 of 87 files, 1:25"


def test_lines_are_counted_where_they_have_no_numbers() -> None:
    progress = Progress("installing", "packages", "Collecting |Requirement already", total=3)
    for line in ("Collecting a==1", "  Downloading a.whl", "Requirement already satisfied: b", "Installing collected"):
        progress.read(line)
    assert (progress.done, progress.total) == (2, 3)


SPEAKS = "import time\nfor n in (1, 2): print(f'[{n}/2] c++ warning: noise', flush=True); time.sleep(0.3)"


def test_a_log_gets_a_line_now_and_then_and_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "IN_LOG", 0.05)
    out = io.StringIO()
    watch(Progress("compiling", "files", NINJA), sys.executable, "-c", SPEAKS, out=out)
    lines = out.getvalue().splitlines()
    assert len(lines) > 2 and all(line.startswith("setup: compiling: ") for line in lines)
    assert lines[-1].startswith("setup: compiling: 2 of 2 files, 0:0")
    assert "noise" not in out.getvalue()


def test_a_terminal_gets_one_line_that_changes() -> None:
    reading, writing = pty.openpty()
    with os.fdopen(writing, "w") as out:
        watch(Progress("compiling", "files", NINJA), sys.executable, "-c", SPEAKS, out=out)
        said = ""
        while "\n" not in said:  # a terminal hands over what there is, not all of it
            said += os.read(reading, 10_000).decode()
    os.close(reading)
    assert said.count("\n") == 1 and said.count("\r\033[K") > 1
    assert said.rpartition("\033[K")[2].startswith("setup: compiling: 2 of 2 files, 0:0")


def test_a_command_that_fails_shows_its_last_lines(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys\nfor n in range(200): print('line', n)\nprint('the reason', file=sys.stderr); sys.exit(3)"
    with pytest.raises(SystemExit, match="this command failed"):
        watch(Progress("compiling", "files", NINJA), sys.executable, "-c", code, out=io.StringIO())
    errors = capsys.readouterr().err
    assert "the reason" in errors and "line 199" in errors and "line 100\n" not in errors

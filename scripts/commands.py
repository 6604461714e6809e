"""How set-up speaks and runs commands; those that take minutes show that they are alive, and what is left.

It uses only the standard library.
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn, TextIO

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LAST_LINES = 60  # of a command that failed
ON_TERMINAL, IN_LOG = 1.0, 60.0  # seconds from one line of progress to the next


def say(text: str) -> None:
    """Print a line at once."""
    print(f"setup: {text}", flush=True)


def fail(text: str) -> NoReturn:
    """End set-up with exit code 1."""
    sys.exit(f"setup: {text}")


def run(*command: str | Path, **environment: str) -> None:
    """Run a command with .venv/bin first on the path; show its output and exit if it fails."""
    words = [str(word) for word in command]
    answer = subprocess.run(
        words, env=environment_with(environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if answer.returncode != 0:
        refuse(words, answer.stdout.splitlines())


def pip(*arguments: str | Path, **environment: str) -> None:
    """Run pip in the environment, silently unless it fails."""
    run(*pip_command(*arguments), **environment)


def pip_command(*arguments: str | Path) -> list[str | Path]:
    """The command line of pip in the environment."""
    return [PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments]


def python_says(code: str) -> str | None:
    """What `code` prints in the environment; None if it fails or there is no environment."""
    try:
        answer = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def environment_with(additions: dict[str, str]) -> dict[str, str]:
    """The variables of a command: .venv/bin comes first on the path."""
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **additions}


def refuse(words: list[str], lines: list[str]) -> NoReturn:
    """Show the last lines of a command that failed, and exit."""
    print("\n".join(lines[-LAST_LINES:]), file=sys.stderr)
    fail(f"this command failed, see above. Fix the cause and run make setup again:\n       {' '.join(words)}")


# --- commands that take minutes ---


class Progress:
    """How far a command has come, read off its output.

    Args:
        what: what it does, for people.
        unit: what is counted.
        step: pattern of the lines that count; with two groups they are the number done and the number in all.
        total: the number in all, where the lines do not say it; 0: not known.
        clock: gives seconds.
    """

    def __init__(self, what: str, unit: str, step: str, total: int = 0, clock: Callable[[], float] = time.monotonic):
        self.what, self.unit, self.total, self.done = what, unit, total, 0
        self._step, self._clock = re.compile(step), clock
        self._start = self._first = clock()

    def read(self, line: str) -> None:
        """Take a line of the output."""
        match = self._step.match(line.strip())
        if match is None:
            return
        if not self.done:
            self._first = self._clock()
        self.done = int(match[1]) if match.groups() else self.done + 1
        self.total = int(match[2]) if match.groups() else self.total

    def text(self) -> str:
        """`what: 12 of 87 files, 1:05, about 6 min left`; the time left once a few steps have shown their pace."""
        parts = [f"{self.done} of {self.total} {self.unit}"] if self.done and self.total else []
        parts.append(_clock_time(self._clock() - self._start))
        if self.done > 2 and self.total > self.done:
            seconds = (self._clock() - self._first) / (self.done - 1) * (self.total - self.done)
            parts.append(f"about {max(1, round(seconds / 60))} min left")
        return f"{self.what}: {', '.join(parts)}"


def watch(progress: Progress, *command: str | Path, out: TextIO | None = None, **environment: str) -> None:
    """Run a command that takes minutes. Its output is kept to itself, unless it fails; its progress is shown.

    On a terminal that is one line, which changes every second; elsewhere it is a line a minute.
    """
    out = out or sys.stdout
    words, lines = [str(word) for word in command], list[str]()
    with subprocess.Popen(
        words,
        env=environment_with(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=_read, args=(process.stdout, lines, progress), daemon=True)
        reader.start()
        try:
            _show(progress, reader, out)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        refuse(words, lines)


def _read(stream: Iterable[str], lines: list[str], progress: Progress) -> None:
    for line in stream:
        lines.append(line.rstrip())
        progress.read(line)


def _show(progress: Progress, reader: threading.Thread, out: TextIO) -> None:
    """Show the progress until the output ends."""
    terminal = out.isatty()
    while reader.is_alive():
        if terminal:
            print(f"\r\033[Ksetup: {progress.text()}", end="", file=out, flush=True)
        reader.join(ON_TERMINAL if terminal else IN_LOG)
        if not terminal and reader.is_alive():
            print(f"setup: {progress.text()}", file=out, flush=True)
    if terminal:
        print("\r\033[K", end="", file=out)
    print(f"setup: {progress.text()}", file=out, flush=True)


def _clock_time(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"

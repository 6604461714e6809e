"""Progress of long loops, with the rate and the time left: a bar in a terminal, a line in a log now and then.

Everything is logged below the logger `datasetdm`. The command line prints these records (`print_progress`), and Dagster
manages the logger (`python_logs` in `dagster.yaml`), so that its event log and its console have the same lines.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

from tqdm import tqdm

log = logging.getLogger(__name__)
_LOGGER = logging.getLogger("datasetdm")

INTERVAL = 30.0  # seconds between two lines of a loop
PROGRESS = "progress"  # attribute that marks progress records, because Dagster drops the logger's name

_subject: ContextVar[str] = ContextVar("subject", default="")


@contextmanager
def working_on(subject: str) -> Iterator[None]:
    """Lines logged inside the block begin with `subject`, such as `downstream_coco both/0`."""
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)


def say(text: str) -> None:
    """Log a line about the current subject (see `working_on`)."""
    subject = _subject.get()
    log.info(f"{subject}: {text}" if subject else text, extra={PROGRESS: True})


class Progress:
    """How far a loop is: a bar where the program has a terminal to itself, else a line every `interval` seconds.

    Args:
        total: number of steps of the loop.
        steps: their name in the plural: `iterations`, `images`.
        done: steps done earlier, for example before a training was resumed; they do not count towards the rate.
        interval: seconds between two lines.
        log: called with each line.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        total: int,
        steps: str,
        *,
        done: int = 0,
        interval: float = INTERVAL,
        log: Callable[[str], None] = say,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.total, self.steps, self.interval = total, steps, interval
        self._log = log
        self._clock = clock
        self._first, self._start = done, clock()
        self._last_line = self._start
        self._bar = self._open_bar() if _Printed.to_terminal() else None

    def update(self, done: int, note: str = "") -> None:
        """Move the bar, or log a line if the last one is long ago.

        A line reads `450 of 1500 iterations, 0.31 s each, 5 min left; loss 0.2`.
        """
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
            if done >= self.total:
                self._bar.close()
            return
        now = self._clock()
        if now - self._last_line < self.interval or done <= self._first or done >= self.total:
            return
        self._last_line = now
        each = (now - self._start) / (done - self._first)
        left = duration(each * (self.total - done))
        text = f"{done} of {self.total} {self.steps}, {each:.2g} s each, {left} left"
        self._log(f"{text}; {note}" if note else text)

    def _open_bar(self) -> "tqdm[Any]":
        """A bar that vanishes at its end; the lines that are logged meanwhile appear above it."""
        return tqdm(
            desc=_subject.get() or None,
            total=self.total,
            initial=self._first,
            unit=f" {self.steps}",
            file=_Printed.stream(),
            leave=False,
            dynamic_ncols=True,
        )


def duration(seconds: float) -> str:
    """Seconds in readable form: `40 s`, `5 min`, `1 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


class _Printed(logging.Handler):
    """Prints records as plain lines, above a bar where there is one."""

    to_stderr = False  # so that standard output has nothing but a result

    @classmethod
    def stream(cls) -> TextIO:
        """Where to print now."""
        return sys.stderr if cls.to_stderr else sys.stdout

    @classmethod
    def to_terminal(cls) -> bool:
        """Whether this program prints its own log, and a person watches."""
        return cls.stream().isatty() and any(isinstance(handler, cls) for handler in _LOGGER.handlers)

    def emit(self, record: logging.LogRecord) -> None:
        """Print to the current stream."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        tqdm.write(f"{level}{record.getMessage()}", file=self.stream())
        self.stream().flush()


def print_progress(*, to_stderr: bool = False) -> None:
    """Print what `datasetdm` logs; for programs that set up no logging themselves."""
    _Printed.to_stderr = to_stderr
    if not any(isinstance(handler, _Printed) for handler in _LOGGER.handlers):
        _LOGGER.addHandler(_Printed())
    _LOGGER.setLevel(logging.INFO)

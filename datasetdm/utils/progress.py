"""Progress of long loops: now and then a line in the log, with the rate and the time left.

Everything is logged below the logger `datasetdm`. The command line prints these records (`print_progress`). Dagster
manages the logger (`python_logs` in `dagster.yaml`), so its event log and console show the same lines.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

log = logging.getLogger(__name__)

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
    """Logs the progress of a loop.

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

    def update(self, done: int, note: str = "") -> None:
        """Log a line if the last one was long ago: `450 of 1500 iterations, 0.31 s each, 5 min left; loss 0.2`."""
        now = self._clock()
        if now - self._last_line < self.interval or done <= self._first or done >= self.total:
            return
        self._last_line = now
        each = (now - self._start) / (done - self._first)
        left = duration(each * (self.total - done))
        text = f"{done} of {self.total} {self.steps}, {each:.2g} s each, {left} left"
        self._log(f"{text}; {note}" if note else text)


def duration(seconds: float) -> str:
    """Seconds in readable form: `40 s`, `5 min`, `1 h 10 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


class _Printed(logging.Handler):
    """Prints records as plain lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print to the current standard output."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        print(f"{level}{record.getMessage()}", flush=True)


def print_progress() -> None:
    """Print what `datasetdm` logs, for programs that do not configure logging."""
    ours = logging.getLogger("datasetdm")
    if not any(isinstance(handler, _Printed) for handler in ours.handlers):
        ours.addHandler(_Printed())
    ours.setLevel(logging.INFO)

"""Leases: one process at a time does a piece of work, on however many machines that share the files.

A lock of the operating system is not enough for that. Depending on how a network file system is mounted, `flock` holds
between machines, holds on one machine only, fails, or hangs. Here only renames decide, which a file server carries out
one after the other. A lease is a folder with one empty file, which is named after the holder:

- It is taken by renaming a prepared folder to its name. This fails while there is a folder with a file in it.
- The holder touches the file every few seconds, from a thread.
- It is taken over by renaming the file of a dead holder. Of all who try, one succeeds.
- It is released by removing file and folder. A folder that is left empty counts as released.

A holder on this machine is dead when its process has ended. A holder on another machine is dead when nobody has touched
its file for `PATIENCE`, which is measured on the clock of the process that waits: clocks of two machines are never
compared.

A machine that was frozen, or cut off from the share, may be taken for dead and then continue. So what is done under a
lease must do no harm if it is done twice. Units are: they are deterministic, and appear whole or not at all.
"""

import errno
import itertools
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psutil

from datasetdm.utils.files import remove_leftovers
from datasetdm.utils.processes import machine, runs_since

log = logging.getLogger(__name__)

# Seconds without a sign of life of another machine. Longer than a file server takes to restart, and than clients keep
# what they know of a file.
PATIENCE = 60.0
BEATS = 6  # signs of life in that time
PAUSES = (0.05, 1.0)  # seconds between two looks at a lease that somebody holds: at first, and at most

_NAME = re.compile(r"(?P<machine>[0-9a-f]{12})-(?P<pid>\d+)-(?P<start>\d+\.\d\d)-\d+")
_claims = itertools.count()


class Busy(Exception):
    """Somebody else holds the lease."""


@contextmanager
def lease(path: Path, *, wait: bool = True, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lease `path` within the block.

    Args:
        path: the lease's folder, which nothing else uses. Missing parents are created.
        wait: whether to wait until it is free.
        patience: seconds without a sign of life after which a holder on another machine counts as dead.

    Raises:
        Busy: somebody else holds it, and `wait` is false.
    """
    path = path.absolute()  # the folder may be changed within the block
    path.parent.mkdir(parents=True, exist_ok=True)
    name = _new_name()
    _acquire(path, name, wait, patience)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(path / name, patience / BEATS, ended), daemon=True)
    beating.start()
    try:
        with suppress(OSError):  # what another process is preparing now comes and goes
            remove_leftovers(path)
        yield
    finally:
        ended.set()
        beating.join()
        _release(path, name)


def _new_name() -> str:
    """This process and this claim of it, as a file name."""
    process = psutil.Process()
    return f"{machine()}-{process.pid}-{process.create_time():.2f}-{next(_claims)}"


def _acquire(path: Path, name: str, wait: bool, patience: float) -> None:
    watch, (pause, longest) = _Watch(path, patience), PAUSES
    while not _try(path, name, watch):
        if not wait:
            raise Busy(f"{path} is held by another process")
        time.sleep(pause)
        pause = min(2 * pause, longest)


def _try(path: Path, name: str, watch: "_Watch") -> bool:
    """Try to get a lease, and look whether it worked: what a file server answers to a repeated request may be wrong."""
    holder = _holder(path)
    if holder is None:
        _take(path, name)
    elif watch.is_dead(holder):
        log.info("%s was held by a process that is gone, and is taken over", path)
        _take_over(path, holder, name)
    return (path / name).exists()


def _holder(path: Path) -> str | None:
    """The name of the file in a lease; None if nobody holds it."""
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return None
    return next(filter(_NAME.fullmatch, names), None)


def _take(path: Path, name: str) -> None:
    """Try to take a free lease; whoever is first succeeds."""
    prepared = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")  # a name that `remove_leftovers` knows
    prepared.mkdir()  # an error here is not about others: nothing can be written in this place
    try:
        (prepared / name).touch()
        os.rename(prepared, path)
    except OSError as error:
        # Somebody was faster. ENOENT: and has removed what looked like a leftover.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise
        shutil.rmtree(prepared, ignore_errors=True)


def _take_over(path: Path, holder: str, name: str) -> None:
    """Try to take the lease of a dead holder; whoever is first succeeds."""
    with suppress(FileNotFoundError):
        os.rename(path / holder, path / name)


def _beat(file: Path, seconds: float, ended: threading.Event) -> None:
    """Touch a file every few seconds, until the lease has ended or is lost."""
    while not ended.wait(seconds):
        try:
            os.utime(file)
        except FileNotFoundError:
            log.warning("%s was taken over: this machine gave no sign of life for too long", file.parent)
            return
        except OSError as error:  # the share is away for a moment
            log.warning("%s cannot be kept for now: %s", file.parent, error)


def _release(path: Path, name: str) -> None:
    with suppress(FileNotFoundError):  # taken over
        os.unlink(path / name)
        with suppress(OSError):  # somebody has taken it already
            os.rmdir(path)


class _Watch:
    """Judges whether the holder of a lease is dead, by what it has seen of it so far."""

    def __init__(self, path: Path, patience: float) -> None:
        self._path, self._patience = path, patience
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    def is_dead(self, holder: str) -> bool:
        parts = _NAME.fullmatch(holder)
        assert parts is not None  # `_holder` finds no others
        if parts["machine"] == machine():
            return not runs_since(int(parts["pid"]), float(parts["start"]))
        sign = _sign_of_life(self._path / holder)
        if sign is None:
            return False
        if self._seen != (holder, sign):
            self._seen, self._since = (holder, sign), time.monotonic()
        return time.monotonic() - self._since > self._patience


def _sign_of_life(file: Path) -> int | None:
    """When the holder last touched its file, on the server's clock; None if it is gone.

    The file is opened because a network file system then asks its server, and else may answer from memory.
    """
    try:
        with file.open("rb") as stream:
            return os.fstat(stream.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None

"""Find out whether another process still runs; a killed process cannot report its own end."""

import hashlib
import platform
from functools import lru_cache
from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
NAMESPACE = Path("/proc/self/ns/pid")


@lru_cache(maxsize=1)
def machine() -> str:
    """This machine since its last start, as far as its processes can be seen from here.

    Containers on one machine count as several machines, because a pid of one is another process, or none, in the other.
    """
    boot = BOOT_ID.read_text() if BOOT_ID.exists() else ""
    namespace = NAMESPACE.stat().st_ino if NAMESPACE.exists() else 0
    return hashlib.sha256(f"{platform.node()} {boot} {namespace}".encode()).hexdigest()[:12]


def this_process() -> str:
    """This process as `<machine> <pid> <start in Unix time>`; a pid alone may later belong to another process."""
    process = psutil.Process()
    return f"{platform.node()} {process.pid} {process.create_time():.2f}"


def is_dead(process: str) -> bool:
    """Whether a process described by `this_process` has ended; False if it runs on another machine."""
    try:
        machine, pid, start = process.rsplit(" ", 2)
        number, began = int(pid), float(start)
    except ValueError:
        return False
    return machine == platform.node() and not runs_since(number, began)


def runs_since(pid: int, began: float) -> bool:
    """Whether the process with this number runs and started no later than `began` (Unix time, to a second)."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() < began + 1
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # it exists, but we may not inspect it
        return True

"""One process at a time holds a lease, and a dead one does not hold it for ever."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from datasetdm.utils import leases
from datasetdm.utils.leases import Busy, lease

ROOT = Path(__file__).parents[2]
PATIENCE = 0.3

HOLD = """
import sys, time
from pathlib import Path
from datasetdm.utils.leases import lease
with lease(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""
COUNT = """
import sys
from pathlib import Path
from datasetdm.utils.leases import lease
number = Path(sys.argv[2])
for _ in range(100):
    with lease(Path(sys.argv[1])):
        number.write_text(str(int(number.read_text()) + 1))
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(leases, "PAUSES", (0.01, 0.05))
    return tmp_path / "work" / "unit.lease"


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def elsewhere(path: Path, *, touched: float | None = None) -> Path:
    """A process of another machine holds the lease; returns its file, last touched at `touched` (Unix time)."""
    file = path / f"{'f' * 12}-{os.getpid()}-1.00-0"
    path.mkdir(parents=True)
    file.touch()
    if touched is not None:
        os.utime(file, (touched, touched))
    return file


@contextmanager
def heartbeats(file: Path) -> Iterator[None]:
    ended = threading.Event()
    thread = threading.Thread(target=leases._beat, args=(file, PATIENCE / leases.BEATS, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_lease_is_held_once_and_leaves_nothing(path: Path) -> None:
    for _ in range(2):
        with lease(path), pytest.raises(Busy), lease(path, wait=False):
            pass
    assert list(path.parent.iterdir()) == []


def test_processes_take_turns(path: Path, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    processes = [start(COUNT, path, number) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert number.read_text() == "200"


def test_the_lease_of_a_killed_process_is_free_at_once(path: Path) -> None:
    holder = start(HOLD, path)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(Busy), lease(path, wait=False):
        pass
    holder.kill()
    holder.wait()
    with lease(path, wait=False):
        pass


def test_a_pid_that_another_process_has_now_is_not_the_holder(path: Path) -> None:
    elsewhere(path).rename(path / f"{leases.machine()}-{os.getpid()}-{psutil.Process().create_time() - 5:.2f}-0")
    with lease(path, wait=False):
        pass


@pytest.mark.parametrize("skew", [-86400, 0, 86400])
def test_a_silent_machine_loses_its_lease_after_a_while_whatever_its_clock_says(path: Path, skew: float) -> None:
    elsewhere(path, touched=time.time() + skew)
    with pytest.raises(Busy), lease(path, wait=False, patience=PATIENCE):
        pass
    start = time.monotonic()
    with lease(path, patience=PATIENCE):
        assert PATIENCE <= time.monotonic() - start < 20 * PATIENCE


def test_a_machine_that_gives_signs_of_life_keeps_its_lease(path: Path) -> None:
    file = elsewhere(path, touched=time.time() - 86400)
    waiter = threading.Thread(target=lambda: lease(path, patience=PATIENCE).__enter__(), daemon=True)
    with heartbeats(file):
        waiter.start()
        waiter.join(3 * PATIENCE)
        assert waiter.is_alive() and file.exists()
    waiter.join(20 * PATIENCE)
    assert not waiter.is_alive() and not file.exists()


def test_of_many_that_take_over_one_succeeds(path: Path) -> None:
    elsewhere(path)
    inside, most = [], []

    def take() -> None:
        with lease(path, patience=PATIENCE):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_who_was_taken_for_dead_does_not_release_the_lease_of_its_successor(path: Path, caplog) -> None:
    with lease(path, patience=PATIENCE):
        (holder,) = path.iterdir()
        successor = holder.rename(path / f"{'f' * 12}-1-1.00-0")
        time.sleep(PATIENCE)
    assert successor.exists()
    assert "gave no sign of life for too long" in caplog.text


def test_an_empty_folder_and_what_a_killed_process_prepared_do_not_count(path: Path) -> None:
    path.mkdir(parents=True)
    (path.parent / ".unit.lease.0123abcd.tmp").mkdir()
    with lease(path, wait=False):
        assert [entry.name for entry in path.parent.iterdir()] == ["unit.lease"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where nobody can make a folder")
def test_where_nothing_can_be_written_nobody_waits_for_others() -> None:
    with pytest.raises(FileNotFoundError), lease(Path("/proc/nothing.lease")):
        pass


def test_a_machine_is_what_shares_its_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from datasetdm.utils import processes

    here = processes.machine()
    assert re.fullmatch("[0-9a-f]{12}", here)
    processes.machine.cache_clear()
    (tmp_path / "pid").touch()
    monkeypatch.setattr(processes, "NAMESPACE", tmp_path / "pid")  # a container on this machine
    try:
        assert processes.machine() != here
    finally:
        processes.machine.cache_clear()

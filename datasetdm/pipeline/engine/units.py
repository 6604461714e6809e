"""Units of work that survive a crash.

A unit (a shard of images, one training) is a folder named by the digest of all that it depends on. A folder that is
there is finished: it was filled under a temporary name and then renamed. An inventory next to it lists its files; a
unit that has been damaged since is made again. Any number of processes, on any number of machines, may work on the same
stage at the same time: a lease per unit keeps them apart, which is taken over when its holder dies. Should two make the
same unit all the same, the first that is finished stays.
"""

import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from uuid import uuid4

from datasetdm.utils.files import appearing, leftover_of, link, remove_leftovers, write_text
from datasetdm.utils.inventory import find_damage, take_inventory
from datasetdm.utils.leases import Busy, lease

log = logging.getLogger(__name__)

_RESUME = ".resume"  # ending of the folder of checkpoints
_LEASE = ".lease"
_waiting: ContextVar[bool] = ContextVar("waiting", default=True)


def make_unit(folder: Path, work: Callable[[Path], None]) -> None:
    """Make the unit `folder` unless it is there and whole; `work` fills a temporary folder, which is then renamed.

    Raises:
        Busy: another process is making it, and the caller is `passing_over_busy_units`.
    """
    with lease(lease_file(folder), wait=_waiting.get()):
        _remove_damaged(folder)
        if not folder.exists():
            remove_leftovers_of(folder)
            with _timed(folder), appearing(folder) as temporary:
                temporary.mkdir()
                work(temporary)
                if not folder.exists():  # it does if this process was taken for dead
                    take_inventory(temporary, inventory_file(folder))
        shutil.rmtree(resume_folder(folder), ignore_errors=True)


def is_finished(folder: Path) -> bool:
    """Whether the unit is there, and as it was when it was made.

    The size and time of every file are compared; a file is read only if its time has changed. A unit without an
    inventory counts as finished.
    """
    return folder.exists() and find_damage(folder, inventory_file(folder)) is None


def sweep(work: Path) -> None:
    """Remove what killed processes left next to the units in the folder `work`, even if nobody needs those units now.

    The checkpoints of a finished unit are among it, and the leases of dead processes of this machine. A unit whose
    lease another process holds is skipped: it is being made.
    """
    if not work.is_dir():
        return
    paths = list(work.iterdir())
    finished = {path.name for path in paths if path.suffix == _RESUME and path.with_suffix("").exists()}
    held = {path.name for path in paths if path.suffix == _LEASE}
    for name in {leftover_of(path.name) for path in paths} - {None} | finished | held:
        folder = work / Path(str(name)).with_suffix("")
        with suppress(Busy), lease(lease_file(folder), wait=False):
            remove_leftovers_of(folder)


def _remove_damaged(folder: Path) -> None:
    damage = find_damage(folder, inventory_file(folder)) if folder.exists() else None
    if damage is not None:
        log.warning("%s is damaged (%s) and is made again", folder, damage)
        retired = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.old")  # a name that `remove_leftovers` knows
        os.replace(folder, retired)
        shutil.rmtree(retired)


def remove_leftovers_of(folder: Path) -> None:
    """Remove what killed processes left of a unit and, if it is finished, its checkpoints; hold its lease for it."""
    remove_leftovers(folder, inventory_file(folder), seconds_file(folder))
    if folder.exists():
        shutil.rmtree(resume_folder(folder), ignore_errors=True)


def lease_file(folder: Path) -> Path:
    """The lease of a unit, held while somebody makes or removes it."""
    return folder.with_suffix(_LEASE)


def inventory_file(folder: Path) -> Path:
    """The list of a unit's files, by which damage is found."""
    return folder.with_suffix(".files")


def seconds_file(folder: Path) -> Path:
    """The note that says how long a unit took to make."""
    return folder.with_suffix(".seconds")


@contextmanager
def _timed(folder: Path) -> Iterator[None]:
    """Write down how long the unit took; if it was cut off and then resumed, both parts count.

    The note lies next to the unit, not in it: outputs hold nothing that changes from run to run.
    """
    checkpoints, start = resume_folder(folder), time.perf_counter()
    before = unit_seconds(folder) if checkpoints.exists() else 0.0
    try:
        yield
    finally:
        if folder.exists() or checkpoints.exists():
            write_text(seconds_file(folder), f"{before + time.perf_counter() - start:.3f}")


@contextmanager
def passing_over_busy_units() -> Iterator[None]:
    """Within this block `make_unit` raises `Busy` instead of waiting for another process."""
    token = _waiting.set(False)
    try:
        yield
    finally:
        _waiting.reset(token)


def resume_folder(unit: Path) -> Path:
    """Where the work on a unit may keep checkpoints in case it is cut off; removed once the unit is finished."""
    return unit.with_suffix(_RESUME)


def publish_unit(unit: Path, folder: Path) -> None:
    """Link the files of a unit into a folder, which may hold those of other units."""
    shutil.copytree(unit, folder, copy_function=link, dirs_exist_ok=True)


def unit_seconds(folder: Path) -> float:
    """How long the unit took to make; 0 where that is not known."""
    try:
        seconds = float(seconds_file(folder).read_text())
    except (OSError, ValueError):
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0


def unit_times(folders: Iterable[Path]) -> tuple[float, float] | None:
    """When the work on units began and ended (Unix time); None where that is not known.

    It ended with the last unit. It began as long before that as all units took together, whenever and wherever each was
    made.
    """
    known = [folder for folder in folders if seconds_file(folder).exists()]
    if not known:
        return None
    end = max(seconds_file(folder).stat().st_mtime for folder in known)
    return end - sum(map(unit_seconds, known)), end

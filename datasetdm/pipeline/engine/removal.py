"""Units that nobody needs: find what is there, and remove it so that half a unit never counts as one."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from datasetdm.pipeline.engine.units import inventory_file, lease_file, remove_leftovers_of, resume_folder, seconds_file
from datasetdm.utils.leases import Busy, lease

# A unit by its digest, and what may lie next to it.
_UNIT = re.compile(r"[0-9a-f]{16}(\.resume|\.files|\.seconds)?")


def work_in(work: Path) -> dict[Path, list[Path]]:
    """The units in the folder `work`, whole or begun, each with what is there of it: folder, checkpoints, notes."""
    found: dict[Path, list[Path]] = {}
    for path in sorted(work.iterdir()) if work.is_dir() else ():
        if _UNIT.fullmatch(path.name):
            found.setdefault(path.with_suffix(""), []).append(path)
    return found


def is_busy(folder: Path) -> bool:
    """Whether a process is making the unit now."""
    if not lease_file(folder).exists():
        return False
    try:
        with _nobody_makes(folder):
            return False
    except Busy:
        return True


def remove_work(folder: Path) -> bool:
    """Remove a unit with its checkpoints and notes; False, and nothing is removed, if a process is making it.

    A folder is renamed before it is removed; `sweep` removes what a killed process leaves.
    """
    try:
        with _nobody_makes(folder):
            remove_leftovers_of(folder)
            for path in (folder, resume_folder(folder)):
                if path.exists():
                    retired = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.old")
                    os.replace(path, retired)
                    shutil.rmtree(retired)
            for note in (inventory_file(folder), seconds_file(folder)):
                note.unlink(missing_ok=True)
    except Busy:
        return False
    return True


@contextmanager
def _nobody_makes(folder: Path) -> Iterator[None]:
    """Keep others from making the unit; `Busy` at once if somebody is."""
    with lease(lease_file(folder), wait=False):
        yield

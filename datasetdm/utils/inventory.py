"""Notice when files of a finished folder change.

Published files are hard links, so truncating or changing one changes it everywhere. An inventory, a small JSON file,
lets the project notice this and make the files again.
"""

import hashlib
import json
import os
from pathlib import Path

from datasetdm.utils.files import write_text


def take_inventory(folder: Path, inventory: Path) -> None:
    """Write size, modification time and sha256 of all files in `folder` to `inventory`, which may be in `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != inventory)
    _write(inventory, {file.relative_to(folder).as_posix(): _entry(file) for file in files})


def find_damage(folder: Path, inventory: Path) -> str | None:
    """How a file of `folder` differs from `inventory`; None if none does, or if there is no inventory.

    Each call compares sizes and times (about 2 microseconds per file) and reads only files whose time differs. Added
    files do not matter. An unreadable inventory counts as none.
    """
    try:
        known = json.loads(inventory.read_bytes())
        entries = {str(name): (int(size), int(time), str(sha256)) for name, (size, time, sha256) in known.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    touched = {}
    root = str(folder)
    for name, (size, time, sha256) in entries.items():
        path = os.path.join(root, name)
        try:
            status = os.stat(path)
        except OSError:
            return f"{name} is missing"
        if status.st_size != size:
            return f"{name} has {status.st_size} bytes instead of {size}"
        if status.st_mtime_ns != time:
            touched[name] = _entry(Path(path))
            if touched[name][2] != sha256:
                return f"the content of {name} has changed"
    if touched:  # copied or restored with the same content: do not read them again next time
        _write(inventory, {**entries, **touched})
    return None


def _entry(file: Path) -> tuple[int, int, str]:
    status = file.stat()
    with file.open("rb") as stream:
        return status.st_size, status.st_mtime_ns, hashlib.file_digest(stream, "sha256").hexdigest()


def _write(inventory: Path, entries: dict[str, tuple[int, int, str]]) -> None:
    write_text(inventory, json.dumps(entries, indent=0) + "\n")

"""Units of work that survive a crash.

A unit (a shard of images, one training) is a folder named by the digest of all that it depends on. What
is there is finished: it was assembled beside and renamed. An inventory beside it says what its files were; a unit
that has been damaged since is made again. Two callers may work on the same stage at the same time; a lock per unit
keeps them apart, and the system frees it when its holder dies.
"""

import hashlib
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout
from pydantic import BaseModel

from datasetdm.formats.files import leftover_of, remove_leftovers, replacing, write_text
from datasetdm.formats.inventory import find_damage, take_inventory
from datasetdm.formats.unlabelled import load_unlabelled

log = logging.getLogger(__name__)

_patience: ContextVar[float] = ContextVar("patience", default=-1)  # seconds; -1: as long as it takes

_SETTLED = 2_000_000_000  # nanoseconds after which a file that is changed has another time, whatever the disk

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


def digest(*parts: Any) -> str:
    """A short sha256 over settings, numbers, texts, files and lists of these.

    A `Path` to a file counts by content. A folder counts by the content of all its files, except for
    images, which count by name and size: annotations carry what a stage reads, and hashing 80 000 images
    at every look would take longer than the look.
    """
    state = hashlib.sha256()
    for part in parts:
        state.update(_bytes_of(part))
        state.update(b"\0")
    return state.hexdigest()[:16]


def _bytes_of(part: Any) -> bytes:
    if isinstance(part, Path):
        return _file_digest(part) if part.is_file() else _folder_digest(part)
    if isinstance(part, list | tuple):
        return hashlib.sha256(b"\0".join(map(_bytes_of, part))).digest()
    if isinstance(part, BaseModel):
        part = part.model_dump(mode="json")
    return json.dumps(part, sort_keys=True, default=str).encode()


def _file_digest(file: Path) -> bytes:
    """The sha256 of a file; read once in a process unless it changes."""
    status = file.stat()
    if time.time_ns() - status.st_mtime_ns < _SETTLED:  # it may change again without another time or size
        return _read_digest(str(file))
    return _known_digest(str(file), (status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=1024)
def _known_digest(file: str, state: tuple[int, ...]) -> bytes:
    return _read_digest(file)


def _read_digest(file: str) -> bytes:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _folder_digest(folder: Path) -> bytes:
    state = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        state.update(file.relative_to(folder).as_posix().encode())
        if file.suffix.lower() in IMAGE_SUFFIXES:
            state.update(str(file.stat().st_size).encode())
        else:
            state.update(_file_digest(file))
    return state.digest()


def annotated_set(root: Path, subset: str) -> list[Any]:
    """What an annotated set in a standard format is known by, for `digest`: its annotations, and its images' sizes.

    Raises:
        DatasetDMError: the list is missing or broken, or an image is missing.
    """
    file, images = root / "annotations" / f"{subset}.json", str(root / "images")
    listed = _images_of(root, subset)
    try:
        sizes = [os.stat(os.path.join(images, name)).st_size for name, _, _ in listed]
    except FileNotFoundError:
        load_unlabelled(root, subset)  # says which
        raise
    return [file, [(*image, size) for image, size in zip(listed, sizes, strict=True)]]


def count_images(root: Path, subset: str) -> int:
    """The number of images that `<root>/annotations/<subset>.json` lists; errors as in `annotated_set`."""
    return len(_images_of(root, subset))


def _images_of(root: Path, subset: str) -> tuple[tuple[str, str, int], ...]:
    """Name, caption and id of each image; the list, which takes seconds to parse, is parsed once in a process."""
    file = root / "annotations" / f"{subset}.json"
    return _parsed_images(root, subset, _file_digest(file) if file.is_file() else b"")


@lru_cache(maxsize=64)
def _parsed_images(root: Path, subset: str, content: bytes) -> tuple[tuple[str, str, int], ...]:
    return tuple((image.name, image.caption, image.image_id) for image in load_unlabelled(root, subset))


def make_unit(folder: Path, work: Callable[[Path], None]) -> None:
    """Make the unit `folder` unless it is there and whole; `work` fills a temporary folder, which is then renamed.

    Raises:
        filelock.Timeout: another process is at it, and the caller is `passing_over_busy_units`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(_lock(folder), timeout=_patience.get()):
        _remove_damaged(folder)
        if not folder.exists():
            _remove_leftovers(folder)
            with _timed(folder), replacing(folder) as temporary:
                temporary.mkdir()
                work(temporary)
                take_inventory(temporary, _inventory(folder))
        shutil.rmtree(resume_folder(folder), ignore_errors=True)


def is_finished(folder: Path) -> bool:
    """Whether the unit is there, and as it was when it was made.

    Of every file size and time are looked at; it is read only where its time has changed. A unit that was made
    before there were inventories counts as it lies there.
    """
    return folder.exists() and find_damage(folder, _inventory(folder)) is None


def sweep(work: Path) -> None:
    """Remove what killed processes left next to the units in the folder `work`, even if nobody needs those units now.

    A unit whose lock another process holds is passed over: it is being made.
    """
    if not work.is_dir():
        return
    for name in {leftover_of(path.name) for path in work.iterdir()} - {None}:
        folder = work / Path(str(name)).with_suffix("")
        try:
            with FileLock(_lock(folder), timeout=0):
                _remove_leftovers(folder)
        except Timeout:
            continue


def _remove_damaged(folder: Path) -> None:
    damage = find_damage(folder, _inventory(folder)) if folder.exists() else None
    if damage is not None:
        log.warning("%s is damaged (%s) and is made again", folder, damage)
        retired = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}.old")  # a name that `remove_leftovers` knows
        os.replace(folder, retired)
        shutil.rmtree(retired)


def _remove_leftovers(folder: Path) -> None:
    for path in (folder, _inventory(folder), _seconds(folder)):
        remove_leftovers(path)


def _lock(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def _inventory(folder: Path) -> Path:
    return folder.with_suffix(".files")


def _seconds(folder: Path) -> Path:
    return folder.with_suffix(".seconds")


@contextmanager
def _timed(folder: Path) -> Iterator[None]:
    """Note how long the unit took, with what was spent before it was cut off where that is gone on from.

    The note is beside the unit, not in it: outputs hold nothing that changes from run to run.
    """
    checkpoints, start = resume_folder(folder), time.perf_counter()
    before = unit_seconds(folder) if checkpoints.exists() else 0.0
    try:
        yield
    finally:
        if folder.exists() or checkpoints.exists():
            write_text(_seconds(folder), f"{before + time.perf_counter() - start:.3f}")


@contextmanager
def passing_over_busy_units() -> Iterator[None]:
    """Inside it `make_unit` raises `filelock.Timeout` where it would wait for another process."""
    token = _patience.set(0)
    try:
        yield
    finally:
        _patience.reset(token)


def resume_folder(unit: Path) -> Path:
    """Where the work on a unit may keep checkpoints, for the case that it is cut off; gone once the unit is there."""
    return unit.with_suffix(".resume")


def publish_unit(unit: Path, folder: Path) -> None:
    """Put the files of a unit into a folder, beside those of other units, as links."""
    shutil.copytree(unit, folder, copy_function=link, dirs_exist_ok=True)


def link(source: str | Path, target: str | Path) -> None:
    """Let a file appear in a second place, as a hard link where the disk allows it; what is there already stays."""
    if Path(target).exists():
        return
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)


def unit_seconds(folder: Path) -> float:
    """How long the unit took to make; 0 where that is not known."""
    try:
        seconds = float(_seconds(folder).read_text())
    except (OSError, ValueError):
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0

"""Write files atomically: they appear complete or not at all."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import numpy as np
from PIL import Image

from datasetdm.errors import DatasetDMError

T = TypeVar("T")

# A temporary path of `replacing`, of a path inside it, or one that was named after it.
_LEFTOVER = re.compile(r"\.+(?P<name>[^.].*?)\.[0-9a-f]{8}\.(tmp|old)([.-].*)?")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path next to `path`, which replaces `path` if the block succeeds and is removed if it raises.

    The block may write a file or a folder. Missing parent folders are created. Errors name `path`, because the
    temporary path no longer exists when somebody reads them.
    """
    with _temporary(path) as temporary:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            retired = temporary.with_suffix(".old")
            os.replace(path, retired)
            os.replace(temporary, path)
            shutil.rmtree(retired)
        else:
            os.replace(temporary, path)


@contextmanager
def appearing(folder: Path) -> Iterator[Path]:
    """A temporary path like that of `replacing`, for a folder that somebody else may make at the same time.

    The first one that is finished stays.
    """
    with _temporary(folder) as temporary:
        yield temporary
        try:
            os.rename(temporary, folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A temporary path next to `path`, which is removed at the end if it is still there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.tmp")
    try:
        yield temporary
    except (OSError, DatasetDMError) as error:
        _rename_in(error, temporary.name, path.name)
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def _rename_in(error: OSError | DatasetDMError, old: str, new: str) -> None:
    """Replace a file name in all texts of an error."""
    error.args = tuple(value.replace(old, new) if isinstance(value, str) else value for value in error.args)
    if isinstance(error, OSError):
        for name in ("filename", "filename2"):
            value = getattr(error, name)
            if isinstance(value, str | os.PathLike):
                setattr(error, name, os.fspath(value).replace(old, new))


def remove_leftovers(*paths: Path) -> None:
    """Remove what `replacing(path)` leaves behind when its process is killed. The caller must hold a lease on `path`.

    Several paths must lie in the same folder.

    This includes what was written next to the temporary path: `..<name>.<digits>.tmp.<digits>.tmp` of a nested
    `replacing`, and `..<name>.<digits>.tmp-<any>`, a temporary folder named after it.
    """
    names, folder = {path.name.lstrip(".") for path in paths}, paths[0].parent
    if not folder.is_dir():
        return
    for leftover in list(folder.iterdir()):
        if leftover_of(leftover.name) not in names:
            continue
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def leftover_of(name: str) -> str | None:
    """The name of the path for which `replacing` made this temporary name; None if it did not make it."""
    match = _LEFTOVER.fullmatch(name)
    return None if match is None else match["name"]


def write_bytes(path: Path, data: bytes) -> None:
    """Write a binary file atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, as UTF-8 with plain line feeds."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, indented. Equal content gives equal bytes; NaN raises a ValueError."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a PNG atomically.

    Args:
        path: must end in `.png`; other formats would lose pixels and raise a ValueError.
        image: uint8 H x W x 3 (RGB) or H x W, or uint16 H x W.
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: images are written as PNG")
    with replacing(path) as temporary:
        Image.fromarray(np.ascontiguousarray(image)).save(temporary, format="png")


def read_json(path: Path, *, remedy: str) -> Any:
    """Read JSON.

    Args:
        path: the file.
        remedy: a sentence that says what to do if it is missing or broken.

    Raises:
        DatasetDMError: missing, not readable, not text, or not complete JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DatasetDMError(f"{path} is missing. {remedy}") from None
    except OSError as error:
        raise DatasetDMError(f"{path} cannot be read ({error.strerror}). {remedy}") from None
    except UnicodeDecodeError:
        raise DatasetDMError(f"{path} is not text in UTF-8. {remedy}") from None
    except RecursionError:
        raise DatasetDMError(f"{path} is nested too deeply to be an annotation file. {remedy}") from None
    except ValueError as error:
        raise DatasetDMError(f"{path} is not valid JSON, or is incomplete ({error}). {remedy}") from None


def read_long_json(path: Path, name: str, kind: type[T], *, remedy: str) -> tuple[Any, Iterable[T | Any]]:
    """Read JSON that holds a list which is too long to keep as Python's lists and dictionaries.

    Args:
        path: the file, an object with the list.
        name: the key of the list.
        kind: what an item is read as: a `msgspec.Struct`, whose fields of type `msgspec.Raw` stay text.
        remedy: as in `read_json`.

    Returns:
        The content, with an empty list in place of the list, and the list's items: of `kind` or, where an item does not
        fit it, as JSON has it. JSON of another structure, or with NaN, comes back as a whole, with the list in it.

    Raises:
        DatasetDMError: as in `read_json`; for an item that is no JSON, when it is its turn.
    """
    try:
        content = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        items = _items(path, content.pop(name), kind, remedy)
        return {key: msgspec.json.decode(value) for key, value in content.items()} | {name: []}, items
    except (KeyError, OSError, RecursionError, msgspec.MsgspecError):
        whole = read_json(path, remedy=remedy)
        found = whole.get(name) if isinstance(whole, dict) else None
        return whole, found if isinstance(found, list) else ()


def _items(path: Path, text: msgspec.Raw, kind: type[T], remedy: str) -> Iterable[T | Any]:
    try:
        return msgspec.json.decode(text, type=list[kind])  # type: ignore[valid-type]
    except msgspec.MsgspecError:
        return _one_by_one(path, msgspec.json.decode(text, type=list[msgspec.Raw]), kind, remedy)


def _one_by_one(path: Path, items: Iterable[msgspec.Raw], kind: type[T], remedy: str) -> Iterator[T | Any]:
    decoder = msgspec.json.Decoder(kind)
    for item in items:
        try:
            yield _fitted(decoder, item)
        except msgspec.MsgspecError as error:
            raise DatasetDMError(f"{path} is not valid JSON ({error}). {remedy}") from None


def _fitted(decoder: "msgspec.json.Decoder[T]", item: msgspec.Raw) -> T | Any:
    try:
        return decoder.decode(item)
    except msgspec.ValidationError:
        return msgspec.json.decode(item)


def link(source: str | Path, target: str | Path) -> None:
    """Link `source` to `target`, or copy it if the disk does not allow hard links. An existing `target` is kept."""
    try:
        os.link(source, target)
    except OSError:  # it is there, its folder is not, or the disk has no hard links
        _link_or_copy(source, Path(target))


def _link_or_copy(source: str | Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(source, target)

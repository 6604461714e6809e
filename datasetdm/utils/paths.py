"""Keep file names from annotation files inside their folder."""

import re
import unicodedata
from pathlib import Path, PureWindowsPath

from datasetdm.errors import DatasetDMError

_PLAIN = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*(/[0-9A-Za-z_][0-9A-Za-z_.-]*)*")  # names of most data sets
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, surrogates, line and paragraph separators


def join_below(root: Path, name: str) -> Path:
    """`root / name` for reading, where `name` comes from somebody else's file.

    Symbolic links below `root` may lead anywhere, because the owner of the folder made them.

    Raises:
        DatasetDMError: see `check_name`.
    """
    check_name(name, where=str(root))
    return root / name


def safe_join(root: Path, name: str) -> Path:
    """`root / name` for writing, and for reading our own files, where `name` comes from a file.

    Args:
        root: the folder that the path must stay in; it may itself be a link.
        name: relative path with forward slashes, such as `000000000009.jpg` or `a/b.png`.

    Raises:
        DatasetDMError: `name` is empty or absolute, holds `..`, a backslash or a drive letter, or leads out of
            `root` through a symbolic link.
    """
    check_name(name, where=str(root))
    path = root / name
    if "/" not in name and not path.is_symlink():  # it lies in `root` itself: nothing on the way can lead out
        return path
    if not path.resolve().is_relative_to(root.resolve()):
        raise DatasetDMError(
            f"{path} is a link that leads out of {root}. Replace it with a copy of the file, or move the whole folder "
            "and link that."
        )
    return path


def check_name(name: str, *, where: str) -> None:
    """The checks of `safe_join` that only need the text; `where` names the file that contains the name.

    All letters and spaces are allowed, such as the narrow space (U+202F) in macOS's names of screenshots.
    """
    if _PLAIN.fullmatch(name):
        return
    # PureWindowsPath splits at both kinds of slashes and knows drives: nothing slips through on any system.
    parts = PureWindowsPath(name)
    unprintable = any(unicodedata.category(character) in _UNPRINTABLE for character in name)
    if not parts.parts or parts.anchor or ".." in parts.parts or "\\" in name or unprintable:
        raise DatasetDMError(
            f"{where}: the file name {name!r} is not a plain relative path inside its folder. A name must "
            "not be empty or absolute, and must not contain '..' or backslashes. Correct that entry."
        )

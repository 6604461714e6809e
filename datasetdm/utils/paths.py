"""File names out of annotation files stay inside their folder."""

import unicodedata
from pathlib import Path, PureWindowsPath

from datasetdm.errors import DatasetDMError

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, separators of lines


def join_below(root: Path, name: str) -> Path:
    """`root / name`, for reading, where `name` came from a file that somebody else wrote.

    A symbolic link below `root` is followed wherever it leads: whoever owns the folder has put it there.

    Raises:
        DatasetDMError: see `check_name`.
    """
    check_name(name, where=str(root))
    return root / name


def safe_join(root: Path, name: str) -> Path:
    """`root / name`, where `name` came from a file that somebody else wrote; for writing, and for what we wrote.

    Args:
        root: folder that must not be left; it may itself be a link.
        name: relative path with forward slashes, such as `000000000009.jpg` or `a/b.png`.

    Raises:
        DatasetDMError: `name` is empty or absolute, holds `..`, a backslash or a drive letter, or leads out of
            `root` through a symbolic link.
    """
    check_name(name, where=str(root))
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise DatasetDMError(
            f"{path} is a link that leads out of {root}. Put a copy of the file in its place (or move the "
            "whole folder and link that)."
        )
    return path


def check_name(name: str, *, where: str) -> None:
    """Do the part of `safe_join` that looks at the text alone; `where` names the file that holds the name.

    Any letters and blanks will do, such as the narrow one (U+202F) in the names that macOS gives to screenshots.
    """
    # PureWindowsPath splits at both kinds of slashes and knows drives: nothing slips through on any system.
    parts = PureWindowsPath(name)
    unprintable = any(unicodedata.category(character) in _UNPRINTABLE for character in name)
    if not parts.parts or parts.anchor or ".." in parts.parts or "\\" in name or unprintable:
        raise DatasetDMError(
            f"{where}: the file name {name!r} is not a plain relative path inside its folder. Names may not "
            "be empty or absolute, nor hold '..' or backslashes; correct that entry."
        )

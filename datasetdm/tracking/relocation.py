"""A local store whose project was moved or copied: its addresses of artifacts follow.

MLflow stores the artifacts' absolute addresses. After a move it would go on writing to the old folder, which may
be another checkout, and has no command that changes them.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from datasetdm.errors import DatasetDMError

ARTIFACTS = Path("mlflow") / "artifacts"  # in the project's root folder
# Where MLflow's schema keeps addresses of artifacts.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow_move(database: Path, root: Path) -> list[str]:
    """Let the addresses of artifacts in a local store point into `root`, if they point into another project folder.

    Addresses elsewhere, such as on a server, stay as they are.

    Args:
        database: MLflow's SQLite file.
        root: the project's folder, absolute.

    Returns:
        The folders that the addresses pointed into; none if nothing had to be done.

    Raises:
        DatasetDMError: the artifacts are not in `root`. Nothing is changed.
    """
    if not database.exists():
        return []
    with closing(sqlite3.connect(database, timeout=60)) as store:
        if not store.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
            return []  # MLflow has not made its tables yet
        moved = _old_roots(store, root)
        if missing := [folder for old, names in moved.items() for folder in _not_here(old, names, root)]:
            raise DatasetDMError(_refusal(database, missing))
        with store:  # all or nothing
            for old in moved:
                _rebase(store, f"{old}/{ARTIFACTS.as_posix()}/", f"{(root / ARTIFACTS).as_uri()}/")
    return [_path(old) for old in moved]


def _old_roots(store: sqlite3.Connection, root: Path) -> dict[str, list[str]]:
    """Addresses of project folders that are not `root`, each with the names of the folders of its experiments."""
    found: dict[str, list[str]] = {}
    for (address,) in store.execute("SELECT artifact_location FROM experiments ORDER BY experiment_id"):
        old, marker, name = str(address).partition(f"/{ARTIFACTS.as_posix()}/")
        if marker and old.startswith("file://") and old != root.as_uri():
            found.setdefault(old, []).append(name)
    return found


def _not_here(old: str, names: Sequence[str], root: Path) -> list[str]:
    """The artifacts of experiments that `root` lacks; an experiment that has never written any lacks nothing."""
    there, here = Path(_path(old)) / ARTIFACTS, root / ARTIFACTS
    folders = map(unquote, names)
    return [str(there / name) for name in folders if (there / name).exists() and not (here / name).exists()]


def _rebase(store: sqlite3.Connection, old: str, new: str) -> None:
    for table, column in _ADDRESSES:
        change = f"UPDATE {table} SET {column} = :new || substr({column}, :length + 1)"
        store.execute(
            f"{change} WHERE substr({column}, 1, :length) = :old", {"new": new, "old": old, "length": len(old)}
        )


def _path(address: str) -> str:
    return unquote(urlsplit(address).path)


def _refusal(database: Path, missing: Sequence[str]) -> str:
    return (
        f"The MLflow store {database} belongs to a project in another folder: its pictures and models are in "
        f"{', '.join(missing)}, and not in {database.parent / 'artifacts'}. If the project was moved or copied, copy "
        f"them there, too. To start with an empty store, remove {database} and run `make setup`."
    )

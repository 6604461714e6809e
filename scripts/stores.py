"""Back up the stores of MLflow and Dagster, and put a backup back.

    python scripts/stores.py backup                        # into backups/<time>, or into --to FOLDER
    python scripts/stores.py restore backups/<time>        # after a backup of what is there now

The stores are SQLite files: MLflow's mlflow/mlflow.db, and the run history in the folder that DAGSTER_HOME names in
.env. A backup may be made while programs write to them. `make setup` makes one before it upgrades anything. Pictures
and models of MLflow are no part of it, as no upgrade touches them. A store on a database server is backed up with
the server's tools (docs/operate.md).

It uses only the standard library.
"""

import argparse
import json
import os
import re
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from commands import ROOT, python_says, say

BACKUPS = ROOT / "backups"
BY_SETUP = "-setup"  # ending of those that set-up makes
MOST_BY_SETUP = 5
NOTE = "versions.json"
VERSIONS = "import json, importlib.metadata as m; print(json.dumps({n: m.version(n) for n in ('mlflow', 'dagster')}))"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("backup").add_argument("--to", type=Path, metavar="FOLDER", help="a new folder")
    verbs.add_parser("restore").add_argument("folder", type=Path, help="as `backup` made it")
    options = parser.parse_args()
    if options.verb == "backup":
        print(f"The stores are in {back_up(options.to or new_folder())}.")
    else:
        restore(options.folder)


def back_up(folder: Path) -> Path:
    """Copy all stores into a new folder, which appears whole."""
    if folder.exists():
        sys.exit(f"{folder} exists: name a new folder.")
    found = stores()
    if not found:
        sys.exit("There is nothing to back up: neither mlflow/mlflow.db nor a history of Dagster exists.")
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for name, file in found.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        copy(file, temporary / name)
    (temporary / NOTE).write_text((python_says(VERSIONS) or "{}") + "\n")
    os.replace(temporary, folder)
    return folder


def back_up_before_upgrade() -> None:
    """A backup by set-up, if there is anything yet; the oldest ones of its kind go."""
    if not stores():
        return
    say(f"The run histories are copied to {back_up(new_folder(BY_SETUP)).relative_to(ROOT)} first.")
    for old in sorted(BACKUPS.glob(f"*{BY_SETUP}"))[:-MOST_BY_SETUP]:
        shutil.rmtree(old)


def restore(folder: Path) -> None:
    """Put a backup back. What is there now is backed up first; runs that are newer than the backup are forgotten."""
    if not (folder / NOTE).is_file():
        sys.exit(f"{folder} is no backup: it has no {NOTE}.")
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*.db")}
    refuse_used(target(name) for name in files)
    now = back_up(new_folder()) if stores() else None
    for file in stores().values():
        remove(file)
    for name, file in sorted(files.items()):
        goal = target(name)
        goal.parent.mkdir(parents=True, exist_ok=True)
        copy(file, goal.with_name(f".{goal.name}.tmp"))
        os.replace(goal.with_name(f".{goal.name}.tmp"), goal)
    made_by, installed = json.loads((folder / NOTE).read_text()), json.loads(python_says(VERSIONS) or "{}")
    print(f"Restored {len(files)} files from {folder}." + (f" What was there is in {now}." if now else ""))
    if made_by != installed:
        print(f"They were written by {listed(made_by)}, and {listed(installed)} is installed.")
        print("Go back to the requirements.lock of that time, or upgrade the stores (docs/operate.md).")


# --- where they are ---


def stores() -> dict[str, Path]:
    """The files of the stores, by their name in a backup."""
    files = [ROOT / "mlflow" / "mlflow.db", *sorted(dagster_home().rglob("*.db"))]
    return {name_of(file): file for file in files if file.is_file()}


def name_of(file: Path) -> str:
    """The name of a file in a backup."""
    home = dagster_home()
    return f"dagster/{file.relative_to(home).as_posix()}" if home in file.parents else f"mlflow/{file.name}"


def target(name: str) -> Path:
    """Where a file of a backup belongs."""
    kind, _, rest = name.partition("/")
    return (dagster_home() if kind == "dagster" else ROOT / "mlflow") / rest


def dagster_home() -> Path:
    """The folder that .env names, else that of the project."""
    try:
        found = re.search(r"^DAGSTER_HOME=(.*)$", (ROOT / ".env").read_text(), re.MULTILINE)
    except OSError:
        found = None
    value = found[1].strip().strip("'\"") if found else ""
    return Path(value) if value else ROOT / ".dagster_home"


def new_folder(ending: str = "") -> Path:
    """A name that sorts by time."""
    return BACKUPS / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%f}{ending}"


# --- SQLite ---


def copy(source: Path, goal: Path) -> None:
    """Copy a database as it is at one moment, even while others write to it."""
    with closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as old, closing(sqlite3.connect(goal)) as new:
        old.backup(new)


def remove(file: Path) -> None:
    """A database with its journals."""
    for path in (file, *file.parent.glob(f"{file.name}-*")):
        path.unlink(missing_ok=True)


def refuse_used(files: Iterator[Path]) -> None:
    """Fail if a program of this machine has one of the files open, as far as the system says (Linux)."""
    wanted = {str(file.resolve()) for file in files}
    for process in Path("/proc").glob("[0-9]*"):
        for link in open_files(process):
            if link in wanted:
                sys.exit(f"Process {process.name} uses {link}. Stop `make ui` and all runs, then restore again.")


def open_files(process: Path) -> Iterator[str]:
    """What a process has open; nothing if it has ended or is somebody else's."""
    try:
        for descriptor in (process / "fd").iterdir():
            yield os.readlink(descriptor)
    except OSError:
        return


def listed(versions: dict[str, str]) -> str:
    """`dagster 1.13.27 and mlflow 3.17.2`."""
    return " and ".join(f"{name} {version}" for name, version in sorted(versions.items())) or "an unknown version"


if __name__ == "__main__":
    sys.exit(main())

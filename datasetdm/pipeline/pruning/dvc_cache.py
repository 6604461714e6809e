"""DVC's cache: the versions of outputs that neither the project nor a commit names any more."""

import re
import subprocess
import sys
from pathlib import Path

from datasetdm.pipeline.pruning.findings import Findings, Item

#: What keeps a version: the project as it is, all commits and tags of git, and DVC's experiments.
IN_GIT = ("--all-commits", "--all-experiments")
ALONE = ("--workspace",)
_REMOVED = re.compile(r"Removing (.+)")


def find_versions() -> Findings:
    """What `dvc gc` would remove; it is asked with `--dry`."""
    problem, scope = _setting()
    if problem:
        return Findings(part="dvc", notes=[problem])
    run = _dvc("gc", "--dry", *scope)
    if run.returncode:
        return Findings(part="dvc", notes=[f"`dvc gc` cannot look: {_reason(run)}"])
    files = [Path(name.strip()) for name in _REMOVED.findall(run.stdout + run.stderr)]
    why = f"no version of the project names it (dvc gc {' '.join(scope)})"
    items = [Item(name=str(file), why=why, size=_size(file)) for file in files]

    def remove() -> list[str]:
        done = _dvc("gc", "--force", *scope)
        return [f"`dvc gc` failed: {_reason(done)}"] if done.returncode else []

    return Findings(part="dvc", items=items, remove=remove)


def _setting() -> tuple[str, tuple[str, ...]]:
    """Why the cache is left alone, or "", and what is kept."""
    from dvc.config import Config  # takes a second

    if not Path(".dvc").is_dir():
        return "There is no .dvc folder here, so DVC has no cache to clean.", ()
    config = Config.from_cwd()
    if config["cache"].get("dir"):
        return (
            "The cache of DVC is a folder that other projects may use, too (cache.dir), so it stays. "
            "`dvc gc --projects` cleans it, with the other projects named."
        ), ()
    return "", ALONE if config["core"].get("no_scm") else IN_GIT


def _dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True)


def _reason(run: subprocess.CompletedProcess[str]) -> str:
    _, marker, error = run.stderr.partition("ERROR: ")
    return " ".join((error if marker else run.stderr or run.stdout).split())


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None

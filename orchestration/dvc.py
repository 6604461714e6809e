"""What Dagster has published is recorded in DVC, so that both know the same version of it."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import yaml

from datasetdm.errors import DatasetDMError
from datasetdm.utils.progress import say

PATIENCE = 1800.0  # seconds that another DVC command may take with the same files
PAUSE = 5.0  # seconds between two attempts
# DVC waits for its lock of the whole project when asked to, but not for those of single paths.
BUSY = ("is being blocked by", "Unable to acquire lock")


def commit(stage: str, benchmark: str, output: Path) -> str:
    """Record the published output of a stage in `dvc.lock`.

    Args:
        stage: its name in `dvc.yaml`.
        benchmark: the benchmark.
        output: the published path, relative to the project's root.

    Returns:
        DVC's md5 of `output`.

    Raises:
        DatasetDMError: DVC is not initialised, does not know the stage or the output, or is kept busy by another
            command (`dvc repro`, say) for longer than `PATIENCE`.
    """
    if not Path(".dvc").is_dir():
        raise DatasetDMError(
            f"{output} is made, but DVC cannot record it: there is no .dvc folder in {Path.cwd()}. "
            "Run this in the project's root folder, or run `dvc init` there first."
        )
    name = f"{stage}@{benchmark}"
    # --wait-for-lock: steps that run at the same time take turns. --force: the output was checked
    # before it was published, so DVC need not ask whether the change is meant.
    # Not --quiet, which keeps the reason of a failure quiet, too.
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "commit", "--force", name]
    deadline = time.monotonic() + PATIENCE
    while (run := subprocess.run(command, capture_output=True, text=True)).returncode:
        reason = _reason(run)
        if not any(sign in reason for sign in BUSY):
            raise DatasetDMError(f"{output} is made, but `dvc commit {name}` failed: {reason}")
        if time.monotonic() > deadline:
            raise DatasetDMError(
                f"{output} is made, but DVC has been busy for {PATIENCE / 60:.0f} minutes and has not recorded it: "
                f"{reason} When that command has ended, run this again; nothing is made twice."
            )
        say(f"`dvc commit {name}` waits for another DVC command: {reason}")
        time.sleep(PAUSE)
    return output_md5(name, output)


def _reason(run: subprocess.CompletedProcess[str]) -> str:
    """Why a DVC command failed, in its own words, on one line."""
    _, marker, error = run.stderr.partition("ERROR: ")
    words = " ".join((error if marker else run.stderr or run.stdout).split())
    return words or f"it ended with code {run.returncode} and said nothing"


def output_md5(name: str, output: Path, lock: Path = Path("dvc.lock")) -> str:
    """The md5 of a published path in `dvc.lock`.

    Args:
        name: the stage, as `<stage>@<benchmark>`.
        output: the published file or folder.
        lock: DVC's record.

    Returns:
        DVC's own md5; for a folder that `dvc.yaml` names file by file, the md5 over theirs.

    Raises:
        DatasetDMError: the stage has no such output.
    """
    outs = yaml.safe_load(lock.read_text())["stages"][name]["outs"]
    recorded = {Path(out["path"]): str(out["md5"]) for out in outs}
    if output in recorded:
        return recorded[output]
    inside = sorted(f"{path.as_posix()} {md5}" for path, md5 in recorded.items() if output in path.parents)
    if not inside:
        raise DatasetDMError(f"dvc.yaml does not name {output} as an output of {name}: add it under `outs` there.")
    return hashlib.md5("\n".join(inside).encode(), usedforsecurity=False).hexdigest()

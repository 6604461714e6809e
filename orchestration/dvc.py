"""What Dagster has published is recorded in DVC, so that both know the same version of it."""

import hashlib
import subprocess
import sys
from pathlib import Path

import yaml

from datasetdm.errors import DatasetDMError


def commit(stage: str, benchmark: str, output: Path) -> str:
    """Record the published output of a stage in `dvc.lock`.

    Args:
        stage: its name in `dvc.yaml`.
        benchmark: the benchmark.
        output: the published path, relative to the project's root.

    Returns:
        DVC's md5 of `output`.

    Raises:
        DatasetDMError: DVC is not initialised, or does not know the stage or the output.
    """
    if not Path(".dvc").is_dir():
        raise DatasetDMError(
            f"{output} is made, but DVC cannot record it: there is no .dvc folder in {Path.cwd()}. "
            "Run this in the project's root folder, or run `dvc init` there first."
        )
    name = f"{stage}@{benchmark}"
    # --wait-for-lock: steps that run beside each other take turns. --force: the output was checked
    # before it was published, so DVC need not ask whether the change is meant.
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "commit", "--quiet", "--force", name]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        message = " ".join((run.stderr or run.stdout).split())
        raise DatasetDMError(f"{output} is made, but `dvc commit {name}` failed: {message}")
    return output_md5(name, output)


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

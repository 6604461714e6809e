"""Build the environment in .venv and initialise the stores; `make setup` calls this.

It uses only the standard library, and runs with the Python (3.11 to 3.13) that the environment is built from. A stamp
in .venv records what it was built from, so a second call does nothing. You can interrupt and repeat every step.

Environment variables:
    CUDA: 1 for the CUDA builds of torch and mmcv, 0 for the CPU builds. Unset: as in the last set-up, else CPU.
    DETECTION: 0 to do without mmdet and mmcv, which only instance segmentation needs and which takes most of the time;
        1 to install them. Unset: as in the last set-up, else 1. To change from 0 to 1 later only adds them.
    TORCH_INDEX_URL: a package index for torch, e.g. the PyTorch CPU index or a mirror of it.
    XDG_CACHE_HOME: $XDG_CACHE_HOME/datasetdm (default: ~/.cache/datasetdm) keeps the wheel of mmcv.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import detection
import preflight
import stores
from commands import PYTHON, ROOT, VENV, Progress, fail, pip, pip_command, python_says, run, say, watch

STAMP = VENV / "datasetdm-setup.json"
LOCK = ROOT / "requirements.lock"
DAGSTER_HOME_LINE = re.compile(r"^DAGSTER_HOME=.*$", re.MULTILINE)


@dataclass(frozen=True)
class Choice:
    """What to install: the CUDA builds, and the libraries of the detectors."""

    cuda: bool
    detection: bool


def main() -> None:
    os.chdir(ROOT)
    refuse_linked_environment()
    choice = Choice(cuda=wanted("CUDA", default=False), detection=wanted("DETECTION", default=True))
    fingerprint = environment_fingerprint(choice)
    stale = read_stamp().get("fingerprint") != fingerprint
    if stale:
        check_machine(choice)
        stores.back_up_before_upgrade()
        create_environment()
        install_torch(choice.cuda)
        install_lock()
        if choice.detection:
            detection.install_detection(choice.cuda)
        install_project()
        write_stamp(fingerprint, choice)
    else:
        say("The environment in .venv is up to date.")
    write_env_file()
    initialise_dvc()
    initialise_dagster(stale)
    initialise_mlflow(stale)
    if stale:
        without = ", without the detectors of instance segmentation; make setup DETECTION=1 adds them"
        say(f"Done{'' if choice.detection else without}.")


# --- what to build, and what exists ---


def wanted(name: str, default: bool) -> bool:
    """The choice of an environment variable; that of the last set-up where it is not set."""
    value = os.environ.get(name, "")
    if value not in ("", "0", "1"):
        fail(f"{name}={value} is not valid; set {name}=1 or {name}=0.")
    return value == "1" if value else bool(read_stamp().get(name.lower(), default))


def read_stamp() -> dict[str, Any]:
    try:
        return dict(json.loads(STAMP.read_text()))
    except (OSError, ValueError):
        return {}


def write_stamp(fingerprint: str, choice: Choice) -> None:
    STAMP.write_text(json.dumps({"fingerprint": fingerprint, **asdict(choice)}) + "\n")


def environment_fingerprint(choice: Choice) -> str:
    """Digest of what the environment depends on; scripts in .venv/bin contain the path of the folder."""
    added = detection.LOCK.read_text() if choice.detection else ""
    parts = [LOCK.read_text(), added, sys.version, str(VENV), str(choice.cuda)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def check_machine(choice: Choice) -> None:
    problems = preflight.missing(cuda=choice.cuda, detection=choice.detection)
    for what, remedy in problems:
        say(f"{what}\n       {remedy}")
    if problems:
        fail("nothing was changed. Fix this and run make setup again.")


# --- the environment ---


def refuse_linked_environment() -> None:
    """An environment belongs to one checkout: it holds the path of the project, and commands run what lies there."""
    if VENV.is_symlink():
        fail(
            f"{VENV} is a link to {VENV.resolve()}, the environment of another checkout, which set-up would change to "
            f"run this one. Remove the link (rm {VENV}) and run make setup again."
        )


def create_environment() -> None:
    present = python_says("import sys, pip; print(*sys.version_info[:2], sys.prefix)")
    if present != "{} {} {}".format(*sys.version_info[:2], VENV):
        say(f"Creating the environment in .venv with Python {sys.version.split()[0]} ...")
        run(sys.executable, "-m", "venv", "--clear", VENV)


def pinned(name: str) -> str:
    """The line of the lock that pins package `name`."""
    return next(line for line in LOCK.read_text().splitlines() if line.startswith(f"{name}=="))


def installed_torch() -> tuple[str, bool] | None:
    """Version (without local suffix) of the installed torch, and whether it is a CUDA build; None: no torch."""
    answer = python_says("import torch; print(torch.__version__.split('+')[0], torch.version.cuda)")
    if answer is None:
        return None
    version, cuda = answer.split()
    return version, cuda != "None"


def install_torch(cuda: bool) -> None:
    requirement = pinned("torch")
    present = installed_torch()
    if present == (requirement.split("==")[1], cuda):
        return
    size = "CUDA build, several GB" if cuda else "CPU build, 0.2 GB"
    progress = Progress(f"installing {requirement} ({size})", "", "$^")
    if present:
        pip("uninstall", "--yes", "torch", "mmcv")
    index = os.environ.get("TORCH_INDEX_URL")
    if cuda or index or not pip_offers_cuda(requirement):
        source = ["--extra-index-url", index] if index else []
        watch(progress, *pip_command("install", "--constraint", LOCK, *source, requirement))
    else:
        say("pip only offers the CUDA build, so uv installs the CPU build (to use another index, set TORCH_INDEX_URL).")
        pip("install", "--no-deps", pinned("uv"))
        options = ["--torch-backend=cpu", "--constraint", LOCK]
        watch(progress, VENV / "bin" / "uv", "pip", "install", "--python", PYTHON, *options, requirement)
    check_torch(cuda)


def pip_offers_cuda(requirement: str) -> bool:
    """Whether the build that pip would choose needs NVIDIA's packages; installs nothing."""
    options = ["--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-"]
    command = [str(PYTHON), "-m", "pip", "install", *options, requirement]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode != 0:
        fail(f"pip cannot find {requirement}:\n{answer.stderr}")
    metadata = json.loads(answer.stdout)["install"][0]["metadata"]
    return any(dependency.startswith("nvidia-") for dependency in metadata.get("requires_dist", []))


def check_torch(cuda: bool) -> None:
    torch = installed_torch()
    if torch is None:
        fail("torch was installed but cannot be imported: see .venv/bin/python -c 'import torch'.")
    elif torch[1] != cuda:
        fail(
            f"torch {torch[0]} is not a {'CUDA' if cuda else 'CPU'} build. Set TORCH_INDEX_URL to a PyTorch "
            "index that has one, or to a mirror, and run make setup again."
        )


def install_lock() -> None:
    count = sum("==" in line for line in LOCK.read_text().splitlines())
    watch(
        Progress("installing requirements.lock (about 1 GB)", "packages", "Collecting |Requirement already", count),
        *pip_command("install", "--progress-bar", "off", "--no-compile", "--no-deps", "--requirement", LOCK),
    )  # compiled at first import


def install_project() -> None:
    say("Installing the project itself ...")
    pip("install", "--no-deps", "--no-build-isolation", "--editable", ".")


# --- the stores ---


def write_env_file() -> None:
    file = ROOT / ".env"
    if not file.exists():
        shutil.copy(ROOT / ".env.example", file)
        say("Wrote .env from .env.example.")
    before = file.read_text()
    after = DAGSTER_HOME_LINE.sub(lambda line: with_dagster_home(line[0]), before)
    if after != before:
        file.write_text(after)


def with_dagster_home(line: str) -> str:
    """The line of .env with this project's current folder; a folder that the user chose is kept."""
    value = line.partition("=")[2].strip().strip("'\"")
    if value and Path(value).name != ".dagster_home":
        return line
    return "DAGSTER_HOME='{}'".format(str(dagster_home()).replace("\\", "\\\\").replace("'", "\\'"))


def dagster_home() -> Path:
    """The folder of Dagster's history, by a path without `?`, at which SQLAlchemy would end a database's path."""
    home = ROOT / ".dagster_home"
    home.mkdir(exist_ok=True)
    if "?" not in str(home):
        return home
    link = detection.cache() / hashlib.sha256(str(ROOT).encode()).hexdigest()[:12] / ".dagster_home"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(home, target_is_directory=True)
    return link


def initialise_dvc() -> None:
    """Configure DVC for a project with or without git; an unpacked archive has none."""
    local = ROOT / ".dvc" / "config.local"
    in_git = any((folder / ".git").exists() for folder in (ROOT, *ROOT.parents))
    alone = local.exists() and "no_scm" in local.read_text()
    if in_git == alone:
        change = ["--unset", "core.no_scm"] if in_git else ["core.no_scm", "true"]
        run(VENV / "bin" / "dvc", "config", "--local", *change)


def initialise_dagster(stale: bool) -> None:
    home = dagster_home()
    if not (home / "dagster.yaml").exists():
        shutil.copy(ROOT / "scripts" / "dagster.yaml", home)
    if stale or not (home / "history").exists():
        say("Initialising Dagster's run history in .dagster_home ...")
        run(VENV / "bin" / "dagster", "instance", "migrate", DAGSTER_HOME=str(home))


def initialise_mlflow(stale: bool) -> None:
    if stale or not (ROOT / "mlflow" / "mlflow.db").exists():
        say("Initialising MLflow's store in mlflow/ ...")
        run(VENV / "bin" / "mlflow", "db", "upgrade", "sqlite:///mlflow/mlflow.db")


if __name__ == "__main__":
    main()

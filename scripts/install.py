"""Build the environment in .venv and initialise the stores; `make setup` calls this.

It uses only the standard library, and runs with the Python (3.11 to 3.13) that the environment is built from. A stamp
in .venv records what it was built from, so a second call does nothing. You can interrupt and repeat every step.

Environment variables:
    CUDA: 1 for the CUDA builds of torch and mmcv, 0 for the CPU builds. Unset: as in the last set-up, else CPU.
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
import sysconfig
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import preflight

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
CUDA_HEADERS = ROOT / "scripts" / "cuda_headers"  # torch's own are searched first
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "datasetdm-setup.json"
LOCK = ROOT / "requirements.lock"
MMCV = "mmcv==2.1.0"
DAGSTER_HOME_LINE = re.compile(r"^DAGSTER_HOME=.*$", re.MULTILINE)


def main() -> None:
    os.chdir(ROOT)
    refuse_linked_environment()
    cuda = wanted_cuda()
    fingerprint = environment_fingerprint(cuda)
    stale = read_stamp().get("fingerprint") != fingerprint
    if stale:
        check_machine(cuda)
        create_environment()
        install_torch(cuda)
        install_lock()
        install_mmcv(cuda)
        install_project()
        write_stamp(fingerprint, cuda)
    else:
        say("The environment in .venv is up to date.")
    write_env_file()
    initialise_dvc()
    initialise_dagster(stale)
    initialise_mlflow(stale)


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


def fail(text: str) -> NoReturn:
    sys.exit(f"setup: {text}")


def run(*command: str | Path, quiet: bool = False, **environment: str) -> None:
    """Run a command with .venv/bin first on the path; exit if it fails. `quiet`: show output only if it fails."""
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    words = [str(word) for word in command]
    answer = subprocess.run(
        words,
        env={**os.environ, "PATH": path, **environment},
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
    )
    if answer.returncode != 0:
        print(answer.stdout or "", file=sys.stderr)
        fail(f"this command failed, see above. Fix the cause and run make setup again:\n       {' '.join(words)}")


def pip(*arguments: str | Path, **environment: str) -> None:
    run(PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments, quiet=False, **environment)


def python_says(code: str) -> str | None:
    """What `code` prints in the environment; None if it fails or there is no environment."""
    try:
        answer = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


# --- what to build, and what exists ---


def wanted_cuda() -> bool:
    choice = os.environ.get("CUDA", "")
    if choice not in ("", "0", "1"):
        fail(f"CUDA={choice} is not valid; set CUDA=1 or CUDA=0.")
    return choice == "1" if choice else bool(read_stamp().get("cuda", False))


def read_stamp() -> dict[str, Any]:
    try:
        return dict(json.loads(STAMP.read_text()))
    except (OSError, ValueError):
        return {}


def write_stamp(fingerprint: str, cuda: bool) -> None:
    STAMP.write_text(json.dumps({"fingerprint": fingerprint, "cuda": cuda}) + "\n")


def environment_fingerprint(cuda: bool) -> str:
    """Digest of what the environment depends on; scripts in .venv/bin contain the path of the folder."""
    parts = [LOCK.read_text(), MMCV, sys.version, str(VENV), str(cuda)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def check_machine(cuda: bool) -> None:
    problems = preflight.missing(cuda)
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
    if python_says("import sys, pip; print(*sys.version_info[:2], sys.prefix)") != f"3 11 {VENV}":
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
    say(f"Installing {requirement} ({'CUDA build, several GB' if cuda else 'CPU build, 0.2 GB'}) ...")
    if present:
        pip("uninstall", "--quiet", "--yes", "torch", "mmcv")
    index = os.environ.get("TORCH_INDEX_URL")
    if cuda or index or not pip_offers_cuda(requirement):
        source = ["--extra-index-url", index] if index else []
        pip("install", "--quiet", "--constraint", LOCK, *source, requirement)
    else:
        say("pip only offers the CUDA build, so uv installs the CPU build (to use another index, set TORCH_INDEX_URL).")
        pip("install", "--quiet", "--no-deps", pinned("uv"))
        options = ["--quiet", "--torch-backend=cpu", "--constraint", LOCK]
        run(VENV / "bin" / "uv", "pip", "install", "--python", PYTHON, *options, requirement)
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
    say(f"Installing the {count} packages of requirements.lock (about 1 GB) ...")
    pip("install", "--quiet", "--no-compile", "--no-deps", "--requirement", LOCK)  # compiled at first import


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "datasetdm"


def install_mmcv(cuda: bool) -> None:
    """Install mmcv with its compiled ops; the wheel is built once per machine, Python and torch."""
    name, version = MMCV.split("==")
    installed = "import mmcv.ops; print(mmcv.__version__, mmcv.ops.get_compiling_cuda_version() != 'not available')"
    if python_says(installed) == f"{version} {cuda}":
        return
    torch = python_says("import torch; print(torch.__version__)")
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    flavour = "cuda" if cuda else "cpu"
    folder = cache() / f"{name}-{version}-{python}-torch{torch}-{flavour}-{sysconfig.get_platform()}"
    if not any(folder.glob("*.whl")):
        build_mmcv(folder, cuda)
    wheel = next(folder.glob("*.whl"))
    say(f"Installing {wheel.name} ...")
    pip("install", "--quiet", "--no-deps", "--force-reinstall", wheel)
    if python_says("import mmcv._ext") is None:
        shutil.rmtree(folder)
        fail("mmcv's compiled ops do not load. Its wheel was removed; make setup builds a new one.")


def build_mmcv(folder: Path, cuda: bool) -> None:
    jobs = compile_jobs()
    say(f"Compiling {MMCV} with its ops on {jobs} cores, once for this machine: 5 to 40 minutes ...")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        # Build isolation would hide torch and leave out the ops. Python's own CFLAGS take three times as long.
        pip(
            "wheel", "--no-build-isolation", "--no-deps", "--no-cache-dir", "--wheel-dir", scratch, MMCV,
            CFLAGS="-O2 -g0 -DNDEBUG", MMCV_WITH_OPS="1", FORCE_CUDA="1" if cuda else "0", MAX_JOBS=str(jobs),
            CPATH=os.pathsep.join(filter(None, [os.environ.get("CPATH"), str(CUDA_HEADERS)])),
        )  # fmt: skip
        wheel = next(Path(scratch).glob("*.whl"))
        if not any(name.startswith("mmcv/_ext.") for name in zipfile.ZipFile(wheel).namelist()):
            fail("mmcv was built without its ops; see the compiler's message above.")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
        Path(scratch).mkdir()  # for TemporaryDirectory to remove


def compile_jobs() -> int:
    """One per core, but no more than memory allows: each of mmcv's files may take 2 GB to compile."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory // 2_000_000_000))


def install_project() -> None:
    say("Installing the project itself ...")
    pip("install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", ".")


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
    link = cache() / hashlib.sha256(str(ROOT).encode()).hexdigest()[:12] / ".dagster_home"
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
        run(VENV / "bin" / "dvc", "config", "--local", *change, quiet=True)


def initialise_dagster(stale: bool) -> None:
    home = dagster_home()
    if not (home / "dagster.yaml").exists():
        shutil.copy(ROOT / "scripts" / "dagster.yaml", home)
    if stale or not (home / "history").exists():
        say("Initialising Dagster's run history in .dagster_home ...")
        run(VENV / "bin" / "dagster", "instance", "migrate", quiet=True, DAGSTER_HOME=str(home))


def initialise_mlflow(stale: bool) -> None:
    if stale or not (ROOT / "mlflow" / "mlflow.db").exists():
        say("Initialising MLflow's store in mlflow/ ...")
        run(VENV / "bin" / "mlflow", "db", "upgrade", "sqlite:///mlflow/mlflow.db", quiet=True)


if __name__ == "__main__":
    main()

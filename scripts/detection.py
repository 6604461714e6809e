"""The libraries of the detectors (mmdet, mmengine, mmcv), of which mmcv has no wheel and has to be compiled.

The compiled wheel is kept in a cache outside the project: it is built once per machine, Python and torch.
"""

import os
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from commands import ROOT, Progress, fail, pip, pip_command, python_says, say, watch

LOCK = ROOT / "requirements-detection.lock"
MMCV = next(line for line in LOCK.read_text().splitlines() if line.startswith("mmcv=="))
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
CUDA_HEADERS = ROOT / "scripts" / "cuda_headers"  # torch's own are searched first


def cache() -> Path:
    """The folder for what outlives the environment."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "datasetdm"


def install_detection(cuda: bool) -> None:
    """Install mmdet, mmengine, what they need, and mmcv with its compiled ops."""
    name, version = MMCV.split("==")
    installed = "import mmcv.ops; print(mmcv.__version__, mmcv.ops.get_compiling_cuda_version() != 'not available')"
    wheels = wheel_folder(cuda)
    if python_says(installed) != f"{version} {cuda}":
        pip("uninstall", "--yes", name)  # another build of the same version would be kept
        if not any(wheels.glob("*.whl")):
            build_mmcv(wheels, cuda)
    say("Installing mmdet, mmengine and mmcv ...")
    # Only a wheel of mmcv will do: pip would compile without torch, and leave out the ops.
    pip("install", "--no-deps", "--find-links", wheels, "--only-binary", name, "--requirement", LOCK)
    if python_says("import mmcv._ext") is None:
        shutil.rmtree(wheels, ignore_errors=True)
        fail("mmcv's compiled ops do not load. Its wheel was removed; make setup builds a new one.")


def wheel_folder(cuda: bool) -> Path:
    """Where the wheel of mmcv for this machine, Python and torch is kept."""
    torch = python_says("import torch; print(torch.__version__)")
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    flavour = "cuda" if cuda else "cpu"
    return cache() / f"{MMCV.replace('==', '-')}-{python}-torch{torch}-{flavour}-{sysconfig.get_platform()}"


def build_mmcv(folder: Path, cuda: bool) -> None:
    """Compile mmcv's ops into a wheel in `folder`."""
    jobs = compile_jobs()
    say(f"Compiling {MMCV} with its ops on {jobs} cores, once for this machine: 5 to 40 minutes ...")
    say("Only instance segmentation needs it; to do without it, stop (Ctrl-C) and run make setup DETECTION=0.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        # Build isolation would hide torch and leave out the ops. Python's own CFLAGS take three times as long.
        watch(
            Progress("compiling mmcv", "files", r"\[(\d+)/(\d+)\]"),
            *pip_command("--verbose", "wheel", "--no-build-isolation", "--no-deps", "--no-cache-dir"),
            "--wheel-dir", scratch, MMCV,
            CFLAGS="-O2 -g0 -DNDEBUG", MMCV_WITH_OPS="1", FORCE_CUDA="1" if cuda else "0", MAX_JOBS=str(jobs),
            CPATH=os.pathsep.join(filter(None, [os.environ.get("CPATH"), str(CUDA_HEADERS)])),
            NINJA_STATUS="[%f/%t] ", PYTHONUNBUFFERED="1",
        )  # fmt: skip
        wheel = next(Path(scratch).glob("*.whl"))
        if not any(name.startswith("mmcv/_ext.") for name in zipfile.ZipFile(wheel).namelist()):
            fail("mmcv was built without its ops: is torch importable, and are setuptools < 80 and ninja installed?")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(scratch, folder)
        Path(scratch).mkdir()  # for TemporaryDirectory to remove


def compile_jobs() -> int:
    """One per core, but no more than memory allows: each of mmcv's files may take 2 GB to compile.

    A container's limits count.
    """
    cores = python_says("import joblib; print(joblib.cpu_count())") or os.cpu_count() or 1
    return max(1, min(int(cores), memory() // 2_000_000_000))


def memory() -> int:
    """Bytes of the machine, or of the container (cgroup v2, v1) if it has less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in MEMORY_LIMITS:
        text = file.read_text().strip() if file.exists() else ""
        limits += [int(text)] if text.isdecimal() else []
    return min(limits)

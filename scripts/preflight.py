"""Check what this machine lacks, and name the remedies, before anything long starts.

    python3 scripts/preflight.py [--cuda] [--no-detection]    # what `make setup` needs
    python3 scripts/preflight.py --ports 3000 5000            # what `make ui` needs

It uses only the standard library and the syntax of old Pythons, because it runs before the environment exists, on any
`python3`.
"""

import argparse
import ctypes
import importlib.util
import os
import platform
import shutil
import socket
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Gigabytes. CPU, measured: the environment takes 2.2; pip's downloads, the build of mmcv and the data of the default
# benchmark need the rest. CUDA, estimated: torch's CUDA packages are about 3 packed and 6 unpacked.
DISK_CPU = 6
DISK_CUDA = 18

# Libraries that the wheels link to and do not contain, besides libc (found with ldd).
LIBRARIES = ("libstdc++.so.6", "libgcc_s.so.1", "libz.so.1")

# Parts of the standard library that a self-built or stripped-down Python may lack.
MODULES = ("venv", "ensurepip", "ssl", "sqlite3", "ctypes", "bz2", "lzma", "zlib")

# What the pinned packages are built for; the project itself is tested under the first of them.
PYTHONS = ((3, 11), (3, 12), (3, 13))

# Ends the remedies for what only the compilation of mmcv needs.
WITHOUT = "Or do without instance segmentation, which alone needs it: make setup DETECTION=0"

# The wheels on the package index are built for this C library or newer.
GLIBC = (2, 28)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", action="store_true", help="also check what a build for NVIDIA GPUs needs")
    parser.add_argument("--no-detection", action="store_true", help="do not check what compiling mmcv needs")
    parser.add_argument("--ports", nargs="+", type=int, metavar="PORT", help="only check whether these ports are free")
    arguments = parser.parse_args()
    wanted = {"cuda": arguments.cuda, "detection": not arguments.no_detection}
    problems = busy_ports(arguments.ports) if arguments.ports else missing(**wanted)
    for what, remedy in problems:
        print("preflight: {}\n           {}".format(what, remedy), file=sys.stderr)
    sys.exit(1 if problems else 0)


def missing(cuda=False, detection=True):
    """What `make setup` needs and this machine lacks, as pairs (what, remedy)."""
    problems = misnamed_folder() + missing_python() + missing_git() + missing_libraries() + missing_disk(cuda)
    if detection:
        problems += missing_headers() + missing_compiler() + (missing_nvcc() if cuda else [])
    return problems


def misnamed_folder(root=ROOT):
    """Characters that end a path in PATH or break MLflow's SQL, even if quoted."""
    bad = sorted({character for character in str(root) if character in ':"\n'})
    if not bad:
        return []
    what = "The project's path, {}, contains {}, which does not work in PATH or in MLflow's store."
    return [(what.format(root, " and ".join(map(repr, bad))), "Rename or move the folder.")]


def missing_python():
    if sys.version_info[:2] not in PYTHONS:
        return [
            (
                "Python 3.11, 3.12 or 3.13 was not found (this is {}).".format(platform.python_version()),
                "Install it with your package manager, pyenv or uv; or name it: make setup PYTHON=/path/to/python3.11",
            )
        ]
    version = "{}.{}".format(*sys.version_info[:2])
    return [
        (
            "Python's module '{}' is missing in {}.".format(name, sys.executable),
            "On Debian or Ubuntu: apt-get install python{0}-venv. To build Python "
            "from source, first install the headers of OpenSSL, SQLite, libffi, bzip2, xz and zlib.".format(version),
        )
        for name in MODULES
        if not importable(name)
    ]


def importable(name):
    try:
        return importlib.util.find_spec(name) is not None and bool(__import__(name))
    except ImportError:
        return False


def missing_git():
    if shutil.which("git"):
        return []
    return [("git was not found; DVC needs it.", "Install the package 'git' of your system.")]


def missing_headers():
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    if headers.exists():
        return []
    remedy = "On Debian or Ubuntu: apt-get install python{0}-dev. On Fedora: dnf install python{0}-devel. {1}"
    return [
        (
            "Python's headers are missing ({}); they are needed to compile mmcv.".format(headers),
            remedy.format("{}.{}".format(*sys.version_info[:2]), WITHOUT),
        )
    ]


def missing_compiler():
    compilers = [*os.environ.get("CXX", "").split()[:1], "c++", "g++", "clang++"]
    if any(shutil.which(name) for name in compilers):
        return []
    return [
        (
            "No C++ compiler was found; mmcv has no wheel and must be compiled.",
            "On Debian or Ubuntu: apt-get install g++. On Fedora: dnf install gcc-c++. " + WITHOUT,
        )
    ]


def missing_libraries():
    if platform.system() != "Linux":
        return []
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < GLIBC:
        return [
            (
                "This system's C library is {} {}; the wheels need glibc {}.{} or newer.".format(
                    name or "unknown", version, GLIBC[0], GLIBC[1]
                ),
                "Use a distribution with glibc of 2019 or later (Debian 10, Ubuntu 20.04, RHEL 8), or a container.",
            )
        ]
    return [
        (
            "The shared library {} is missing.".format(library),
            "On Debian or Ubuntu: apt-get install libstdc++6 libgcc-s1 zlib1g.",
        )
        for library in LIBRARIES
        if not loadable(library)
    ]


def loadable(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing_disk(cuda=False):
    needed = DISK_CUDA if cuda else DISK_CPU
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if free >= needed:
        return []
    return [
        (
            "Only {:.1f} GB are free in {}; set-up and the default benchmark need {} GB.".format(free, ROOT, needed),
            "Free some space, or move the project to a larger disk.",
        )
    ]


def missing_nvcc():
    home = os.environ.get("CUDA_HOME")
    if shutil.which("nvcc") or (home and (Path(home) / "bin" / "nvcc").exists()):
        return []
    return [
        (
            "CUDA=1 is set, but nvcc was not found; it compiles mmcv's CUDA ops.",
            "Install the CUDA toolkit 13.0 (the one torch 2.13.0 is built with) and set CUDA_HOME to it. " + WITHOUT,
        )
    ]


def busy_ports(ports):
    """Ports that are in use, as pairs (what, remedy)."""
    return [
        (
            "Port {} on 127.0.0.1 is busy.".format(port),
            "Stop the program that uses it, or choose other ports: make ui DAGSTER_PORT=3001 MLFLOW_PORT=5001",
        )
        for port in ports
        if not bindable(port)
    ]


def bindable(port):
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main()

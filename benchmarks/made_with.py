"""What figures were made with: every script writes it into its file, so that a stranger can check a figure."""

import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from datasetdm.config import load_params
from datasetdm.diffusion.weights import model_fingerprint
from datasetdm.tracking import git_commit
from datasetdm.utils.files import read_json, write_json

PACKAGES = ("torch", "diffusers", "transformers", "mmdet", "dvc")
KEY = "made_with"


def write_result(file: Path, content: Mapping[str, Any], *, adds: bool = False) -> None:
    """Write figures as JSON, with the key `made_with`: a list of runs, see `describe_run`.

    Args:
        file: is replaced.
        content: the figures.
        adds: the content holds what earlier runs have measured, too; these stay in the list.
    """
    run = describe_run()
    runs = earlier_runs(file) if adds else []
    others = [one for one in runs if (one["command"], one["began"]) != (run["command"], run["began"])]
    write_json(file, {**content, KEY: [*others, run]})


def earlier_runs(file: Path) -> list[dict[str, Any]]:
    """The runs that a file of figures names; none if it is not there yet, or older than these notes."""
    runs: list[dict[str, Any]] = read_json(file, remedy="Remove it.").get(KEY, []) if file.exists() else []
    return runs


def describe_run() -> dict[str, Any]:
    """The command of this process, when it began, how long it has run, commit, weights and machine."""
    began = psutil.Process().create_time()
    return {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "began": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - began),
        "commit": git_commit(),
        "diffusion_model": weights_in_use(),
        "machine": describe_machine(),
    }


def weights_in_use() -> str | None:
    """The fingerprint of the diffusion model of `params.yaml`; None if it is not a folder on this machine."""
    settings = load_params().backbone
    folder = Path(settings.path)
    return model_fingerprint(folder, settings) if folder.is_dir() else None


def describe_machine() -> dict[str, Any]:
    """Processor, cores, load and versions."""
    return {
        "processor": torch.cuda.get_device_name() if torch.cuda.is_available() else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bfloat16": bool(
            torch.cpu.get_capabilities().get("amx_bf16") or torch.cpu.get_capabilities().get("avx512_bf16")
        ),
        "load_average": round(os.getloadavg()[0], 2),
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as stream:
            return next(line.partition(":")[2].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()

"""How much memory there is."""

import os
from pathlib import Path

import torch

CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")  # holds "max" if there is no limit


def memory_limit() -> int:
    """Bytes of memory that this process may use: the machine's, or the container's (cgroup v2) if that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = CONTAINER_LIMIT.read_text().strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdecimal() else machine


def memory_of(device: torch.device) -> int:
    """Bytes that a device has for this process: of a GPU what is free now, of the CPU `memory_limit`."""
    if device.type != "cuda":
        return memory_limit()
    free: int = torch.cuda.mem_get_info(device)[0]
    return free

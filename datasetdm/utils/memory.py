"""How much memory there is."""

import os
from pathlib import Path

import torch

# Of cgroup v2, which holds "max" if there is no limit, and of v1, which then holds a huge number.
CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit() -> int:
    """Bytes of memory that this process may use: the machine's, or the container's (cgroup v1, v2) if that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *filter(None, map(_bytes_in, CONTAINER_LIMITS))])


def _bytes_in(file: Path) -> int | None:
    """The limit that a file of the system holds; None if there is none."""
    try:
        limit = file.read_text().strip()
    except OSError:
        return None
    return int(limit) if limit.isdecimal() else None


def memory_of(device: torch.device) -> int:
    """Bytes that a device has for this process: of a GPU what is free now, of the CPU `memory_limit`."""
    if device.type != "cuda":
        return memory_limit()
    free: int = torch.cuda.mem_get_info(device)[0]
    return free

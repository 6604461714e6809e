"""How many processors this process may use: what the machine has, or what its container, batch system or user allows.

torch starts a thread per processor of the machine, even where a container's quota gives it two of 64, and the threads
then wait for each other. So programs call `heed_quota` before they import it.
"""

import os


def num_processors() -> int:
    """Processors that this process may use: by its affinity and by the container's quota (cgroup v1, v2); at least 1.

    `LOKY_MAX_CPU_COUNT` in the environment lowers it.
    """
    import joblib  # takes a third of a second

    return int(joblib.cpu_count())


def heed_quota() -> None:
    """Let torch and OpenCV, here and in processes that this one starts, use no more threads than the quota allows.

    Where there is no quota, nothing changes: they heed the affinity by themselves. What the environment sets is kept.
    """
    if "OMP_NUM_THREADS" in os.environ:
        return
    allowed = num_processors()
    if allowed < _without_quota():
        os.environ |= {"OMP_NUM_THREADS": str(allowed), "OPENCV_FOR_THREADS_NUM": str(allowed)}


def _without_quota() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

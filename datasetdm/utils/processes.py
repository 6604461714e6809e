"""Whether the process that began something still runs: a process that is killed cannot say so itself."""

import platform

import psutil


def this_process() -> str:
    """This process as `<machine> <pid> <start in Unix time>`: a pid alone may be given to another process later."""
    process = psutil.Process()
    return f"{platform.node()} {process.pid} {process.create_time():.2f}"


def is_dead(process: str) -> bool:
    """Whether a process that `this_process` described is known to be gone; one of another machine never is."""
    try:
        machine, pid, start = process.rsplit(" ", 2)
        number, began = int(pid), float(start)
    except ValueError:
        return False
    return machine == platform.node() and not runs_since(number, began)


def runs_since(pid: int, began: float) -> bool:
    """Whether the process with this number runs and started no later than `began` (Unix time, to a second)."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() < began + 1
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # there is one, but we may not look at it
        return True

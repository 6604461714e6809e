"""Run the command line and be killed: `python killed.py PLACES MODE ARGUMENTS ...`; started by test_kills.py.

A place is where a file or folder gets its name, or where a file of a tracked run is written. Python reports both
through its audit hooks, before they happen. PLACES lists those that are done with, a line each. MODE `note` adds all
places that come up, and nobody is killed. MODE `kill` adds the first that is new, and there the process is killed.
"""

import os
import re
import signal
import sys
from pathlib import Path

ROOT = os.getcwd()


def place_of(event: str, arguments: tuple[object, ...]) -> str | None:
    """The place that an event stands for, without digests and numbers; None for all other events."""
    if event == "os.rename":
        path = str(arguments[1])
    elif event == "open" and "w" in str(arguments[1]) and "mlflow/artifacts" in str(arguments[0]):
        path = str(arguments[0])
    else:
        return None
    inside = os.path.relpath(os.path.abspath(path), ROOT)
    if inside.startswith(".."):
        return None
    return re.sub(r"[0-9a-f]{16,}|[0-9a-f]{8}(?=\.)|\d+", "*", inside)


def main() -> int:
    file, mode, *arguments = sys.argv[1:]
    places = set(Path(file).read_text().splitlines()) if Path(file).exists() else set()

    def look(event: str, details: tuple[object, ...]) -> None:
        place = place_of(event, details) if event in ("os.rename", "open") else None
        if place is None or place in places:
            return
        places.add(place)
        with open(file, "a") as stream:
            stream.write(f"{place}\n")
        if mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    from datasetdm.cli import main as run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())

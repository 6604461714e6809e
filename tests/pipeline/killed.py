"""Run the command line and be killed: `python killed.py NOTES MODE ARGUMENTS ...`; started by test_kills.py.

A place is where a file or folder gets its name, or where a file of a tracked run is written. Python reports both
through its audit hooks, before they happen. `NOTES/places` lists those that are done with, a line each. MODE `note`
adds all places that come up, nobody is killed, and `NOTES/modules` lists what was imported. MODE `kill` kills the run
at the first place that is new, and runs again until a run comes to its end; it prints how many were killed. Each run is
a process that has imported everything before: otherwise imports would take most of the time.
"""

import os
import re
import signal
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

ROOT = os.getcwd()
HEAVY = ("datasetdm.", "diffusers.", "mlflow.", "mmcv.", "mmdet.", "mmengine.", "pandas.", "torch.", "transformers.")
LARGEST = 300  # kills; there are fewer places


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


def watch(file: Path, *, kill: bool) -> None:
    """Note every place that comes up, and die at the first that is new."""
    places = set(file.read_text().splitlines()) if file.exists() else set()

    def look(event: str, details: tuple[object, ...]) -> None:
        place = place_of(event, details) if event in ("os.rename", "open") else None
        if place is None or place in places:
            return
        places.add(place)
        with open(file, "a") as stream:
            stream.write(f"{place}\n")
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def note(notes: Path, arguments: list[str]) -> int:
    from datasetdm.cli import main as run

    watch(notes / "places", kill=False)
    code = run(arguments)
    (notes / "modules").write_text("\n".join(name for name in [*sys.modules] if name.startswith(HEAVY)))
    return code


def kill(notes: Path, arguments: list[str]) -> int:
    from datasetdm.cli import main as run

    for name in (notes / "modules").read_text().splitlines():
        with suppress(Exception):  # some are made by code, not imported
            import_module(name)
    for kills in range(LARGEST):
        child = os.fork()
        if not child:
            watch(notes / "places", kill=True)
            code = run(arguments)
            sys.stdout.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != -signal.SIGKILL:
            print(kills)
            return code
    return 1


if __name__ == "__main__":
    sys.exit({"note": note, "kill": kill}[sys.argv[2]](Path(sys.argv[1]), sys.argv[3:]))

"""How long a unit of a stage takes in a project, and its end, so that a stage can say what is ahead.

The note lies with the work, not in an output: outputs hold nothing that changes from run to run. Several processes may
write it at the same time, so it has no temporary file that a killed process could leave behind. A note that does not
end with a line feed is not whole, and does not count.
"""

import math
from pathlib import Path

from datasetdm.pipeline.engine.stage import P, Stage


def note_pace(stage: Stage[P], project: P, seconds: float) -> None:
    """Write down how long the last unit took."""
    _write(_file(stage, project, "pace"), seconds)


def pace(stage: Stage[P], project: P) -> float:
    """How many seconds the last unit took; 0 where that is not known."""
    return _seconds(_file(stage, project, "pace"))


def note_finishing_pace(stage: Stage[P], project: P, seconds: float) -> None:
    """Write down how long it took to put the units together and publish them."""
    _write(_file(stage, project, "finish"), seconds)


def finishing_pace(stage: Stage[P], project: P) -> float:
    """How many seconds that took the last time; 0 where that is not known."""
    return _seconds(_file(stage, project, "finish"))


def has_worked(stage: Stage[P], project: P) -> bool:
    """Whether a unit of the stage was ever made here, or its output published, as far as notes say."""
    endings = ("pace", "finish", "json")
    return stage.output(project).exists() or any(_file(stage, project, ending).exists() for ending in endings)


def _file(stage: Stage[P], project: P, ending: str) -> Path:
    return project.work / f"{stage.name}_{project.name}.{ending}"


def _write(file: Path, seconds: float) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{seconds:.1f}\n")


def _seconds(file: Path) -> float:
    try:
        text = file.read_text()
        seconds = float(text)
    except (OSError, ValueError):
        return 0.0
    return seconds if text.endswith("\n") and math.isfinite(seconds) else 0.0

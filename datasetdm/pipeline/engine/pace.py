"""How long a unit of a stage takes in a project, and its end, so that a stage can say what is ahead.

The note lies with the work, not in an output: outputs hold nothing that changes from run to run.
"""

import math
from pathlib import Path

from datasetdm.pipeline.engine.stage import P, Stage
from datasetdm.utils.files import write_text


def note_pace(stage: Stage[P], project: P, seconds: float) -> None:
    """Write down how long the last unit took."""
    write_text(_file(stage, project, "pace"), f"{seconds:.1f}")


def pace(stage: Stage[P], project: P) -> float:
    """How many seconds the last unit took; 0 where that is not known."""
    return _seconds(_file(stage, project, "pace"))


def note_finishing_pace(stage: Stage[P], project: P, seconds: float) -> None:
    """Write down how long it took to put the units together and publish them."""
    write_text(_file(stage, project, "finish"), f"{seconds:.1f}")


def finishing_pace(stage: Stage[P], project: P) -> float:
    """How many seconds that took the last time; 0 where that is not known."""
    return _seconds(_file(stage, project, "finish"))


def _file(stage: Stage[P], project: P, ending: str) -> Path:
    return project.work / f"{stage.name}_{project.name}.{ending}"


def _seconds(file: Path) -> float:
    try:
        seconds = float(file.read_text())
    except (OSError, ValueError):
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0

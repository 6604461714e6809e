"""How long a unit of a stage takes in a project, so that a stage can say what is ahead.

The note lies with the work, not in an output: outputs hold nothing that changes from run to run.
"""

import math
from pathlib import Path

from datasetdm.pipeline.engine.stage import P, Stage
from datasetdm.utils.files import write_text


def note_pace(stage: Stage[P], project: P, seconds: float) -> None:
    """Write down how long the last unit took."""
    write_text(_file(stage, project), f"{seconds:.1f}")


def pace(stage: Stage[P], project: P) -> float:
    """How many seconds the last unit took; 0 where that is not known."""
    try:
        seconds = float(_file(stage, project).read_text())
    except (OSError, ValueError):
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0


def _file(stage: Stage[P], project: P) -> Path:
    return project.work / f"{stage.name}_{project.name}.pace"

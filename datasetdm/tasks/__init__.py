"""What is annotated: one file per task, one line per task here."""

from collections.abc import Sequence

from datasetdm.errors import DatasetDMError
from datasetdm.structures import Category
from datasetdm.tasks.base import Task
from datasetdm.tasks.instance import InstanceTask

TASKS: dict[str, type[Task]] = {task.name: task for task in (InstanceTask,)}


def build_task(name: str, categories: Sequence[Category]) -> Task:
    """The task of that name for a data set's categories.

    Raises:
        DatasetDMError: there is no such task.
    """
    if name not in TASKS:
        raise DatasetDMError(f"There is no task '{name}'. Known tasks: {', '.join(sorted(TASKS))}.")
    return TASKS[name](categories)

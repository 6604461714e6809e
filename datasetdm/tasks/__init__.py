"""What the P-Decoder learns: one file per task."""

from collections.abc import Sequence
from pkgutil import resolve_name

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.task_parts import TASKS
from datasetdm.tasks.base import Task


def build_task(settings: config.TaskSettings, categories: Sequence[Category]) -> Task:
    """The task that the settings name, for a data set's categories."""
    task: Task = resolve_name(TASKS[settings.name].task)(categories, settings)
    return task

"""What is annotated: one file per task, one line per task here."""

from collections.abc import Sequence

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.tasks.base import Task
from datasetdm.tasks.depth import DepthTask
from datasetdm.tasks.instance import InstanceTask
from datasetdm.tasks.pose import PoseTask
from datasetdm.tasks.semantic import SemanticTask

TASKS: dict[str, type[Task]] = {task.name: task for task in (InstanceTask, SemanticTask, DepthTask, PoseTask)}


def build_task(settings: config.TaskSettings, categories: Sequence[Category]) -> Task:
    """The task that the settings name, for a data set's categories."""
    return TASKS[settings.name](categories, settings)

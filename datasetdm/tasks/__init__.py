"""What the P-Decoder learns: one file per task, one line per task here."""

from collections.abc import Callable, Sequence
from typing import Any

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.tasks.base import Task
from datasetdm.tasks.depth import DepthTask
from datasetdm.tasks.instance import InstanceTask
from datasetdm.tasks.open_vocabulary_semantic import OpenVocabularySemanticTask
from datasetdm.tasks.pose import PoseTask
from datasetdm.tasks.semantic import SemanticTask


def _semantic(categories: Sequence[Category], settings: config.SemanticAnnotation) -> SemanticTask:
    kind = OpenVocabularySemanticTask if settings.unseen else SemanticTask
    return kind(categories, settings)


TASKS: dict[str, Callable[[Sequence[Category], Any], Task]] = {
    "instance": InstanceTask,
    "semantic": _semantic,
    "depth": DepthTask,
    "pose": PoseTask,
}


def build_task(settings: config.TaskSettings, categories: Sequence[Category]) -> Task:
    """The task that the settings name, for a data set's categories."""
    return TASKS[settings.name](categories, settings)

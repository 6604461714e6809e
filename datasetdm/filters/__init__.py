"""Which predicted annotations become training data: one file per kind of annotation."""

from collections.abc import Sequence
from pkgutil import resolve_name

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.filters.base import Filter
from datasetdm.task_parts import TASKS


def build_filter(settings: config.TaskSettings, categories: Sequence[Category]) -> Filter:
    """The filter of a task.

    Args:
        settings: of the task.
        categories: in label order.
    """
    built: Filter = resolve_name(TASKS[settings.name].filter)(settings, categories)
    return built

"""Which predicted annotations become training data: one file per kind of annotation, one line per kind here."""

from collections.abc import Callable, Sequence
from typing import Any

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.filters.base import Filter
from datasetdm.filters.depth import DepthFilter
from datasetdm.filters.instance import InstanceFilter
from datasetdm.filters.pose import PersonFilter
from datasetdm.filters.semantic import SemanticFilter

_FILTERS: dict[str, Callable[[Any, Sequence[Category]], Filter]] = {
    "instance": InstanceFilter,
    "semantic": SemanticFilter,
    "depth": DepthFilter,
    "pose": PersonFilter,
}


def build_filter(settings: config.TaskSettings, categories: Sequence[Category]) -> Filter:
    """The filter of a task.

    Args:
        settings: of the task.
        categories: in label order.
    """
    return _FILTERS[settings.name](settings, categories)

"""Every part of every task is where the registry says."""

from pkgutil import resolve_name

import pytest

from datasetdm.annotations.sample import Category
from datasetdm.task_parts import METRICS, TASKS

OBJECTS = ("settings", "task", "format", "filter", "evaluator", "quality", "baseline", "downstream", "readout")


@pytest.mark.parametrize("name", TASKS)
def test_every_part_is_there(name: str) -> None:
    parts = TASKS[name]
    named = [part for part in (getattr(parts, field) for field in OBJECTS) if part is not None]
    assert all(callable(resolve_name(part)) for part in named)
    settings = resolve_name(parts.settings)()
    assert settings.name == name
    task = resolve_name(parts.task)([Category(id=1, name="person")], settings)
    assert task.name == name
    assert task.primary_metric == next(iter(parts.metrics))
    assert METRICS[task.primary_metric].higher_is_better == task.higher_is_better

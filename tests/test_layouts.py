"""The registry of layouts agrees with the rest of the package."""

from pkgutil import resolve_name

from datasetdm.layouts import LAYOUTS
from datasetdm.miniworld.exports import EXPORTS
from datasetdm.task_parts import TASKS


def test_every_layout_has_a_task_a_reader_and_a_stand_in() -> None:
    assert {layout.task for layout in LAYOUTS.values()} <= set(TASKS)
    assert all(callable(resolve_name(layout.reader)) for layout in LAYOUTS.values())
    assert set(EXPORTS) == set(LAYOUTS) - {"depth_folder"}  # only `datasetdm import` writes it

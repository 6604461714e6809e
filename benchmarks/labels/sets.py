"""The two sets that labels are judged on: dev of the study, and renders with true labels that nothing else has seen."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.backbone.worlds import renderer_state, take_shots
from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.tasks.base import Task
from datasetdm.utils.digests import digest

NUM_RENDERS = 1000


def open_set(context: Context, cache: Path, name: str) -> Sequence[Sample]:
    """`dev` of the study, or `renders`: scenes of `coco` that are in no other set, with what their captions say.

    Args:
        context: the study of `coco`, after `ingest`.
        cache: folder for the renders, which are made once.
        name: of the set.
    """
    task = context.task()
    folder = render_set(task, cache) if name == "renders" else context.paths.real
    return standard_format(*task.kind).load(folder, name)


def render_set(task: Task, cache: Path) -> Path:
    """The folder of the renders, in the standard format."""
    folder = cache / "renders" / digest(renderer_state(), NUM_RENDERS)
    if not folder.exists():
        make_unit(folder, partial(_render, task))
    return folder


def _render(task: Task, folder: Path) -> None:
    shots = take_shots("labels", NUM_RENDERS, seed=0)
    standard_format(*task.kind).save(folder, "renders", (shot.sample for shot in shots))

"""docs/extending.md, "An arm": one file, `datasetdm/arms.py`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datasetdm.arms import ARMS, DRAWN, Arm, Training
from datasetdm.cli import main
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.pipeline.context import open_context
from datasetdm.pipeline.stages import train_downstream
from datasetdm.pipeline.unlabelled_images import save_labelled

UNSPLICED = Arm(
    sources=(DRAWN,),
    with_labelled=True,
    control=True,
    explanation="as `both`, without the splices of the synthetic images",
)
SOURCE = {
    "format": "coco",
    "root": "data/raw/miniworld/coco",
    "miniworld": {"distribution": "coco", "num_train": 8, "num_val": 4},
}


def test_an_arm_of_the_registry_is_trained(
    project: Callable[..., Path], edit: Callable[[str, Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARMS, "unspliced", UNSPLICED)
    project(SOURCE)
    edit("benchmarks.coco.ingest", {"num_real": 4, "num_dev": 2, "num_test": 2})
    edit("benchmarks.coco.experiment.arms", ["unspliced"])
    assert main(["ingest", "coco"]) == 0
    context = open_context("coco")
    real, task = context.paths.real, context.task()
    labelled = standard_format(*task.kind).load(real, "few_shot_0")
    # The labelled images take the place of the synthetic ones, for which the test has no time.
    save_labelled(task, context.paths.synthetic, "seed_0", labelled, real / "images")

    (unit,) = train_downstream.units(context)
    job = unit.payload
    assert job.training == Training("unspliced", 0)
    assert [group.sources[0][1] for group in job.groups] == ["few_shot_0", "seed_0"]
    train_downstream.make(context, unit)
    assert "mask_ap" in json.loads((unit.folder / "metrics.json").read_text())

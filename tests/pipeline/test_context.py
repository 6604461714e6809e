"""What stages share within a process."""

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datasetdm.downstream import DOWNSTREAM
from datasetdm.pipeline import training
from datasetdm.pipeline.context import open_context

SOURCE = {"format": "coco", "root": "coco", "miniworld": {"num_train": 12, "num_val": 4}}


def test_the_diffusion_model_is_gone_while_a_downstream_model_is_trained(
    project: Callable[[dict[str, Any]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(SOURCE)
    (folder / "data/real/coco").mkdir(parents=True)
    (folder / "data/real/coco/categories.json").write_text('[{"id": 1, "name": "box"}]')
    context = open_context("coco")
    backbone = context.backbone()
    assert context.backbone() is backbone  # loaded once
    parts = [weakref.ref(part) for part in (backbone, backbone.unet, backbone.vae, backbone.text_encoder)]  # type: ignore[attr-defined]
    del backbone
    assert all(part() is not None for part in parts)
    seen = []

    class Trainer:
        def train(self, *args: Any, **options: Any) -> None:
            seen.append([part() for part in parts])

    monkeypatch.setitem(DOWNSTREAM, "instance", Trainer())  # type: ignore[arg-type]
    training.train(context, [], 0, folder / "model", resume=folder / "resume")
    assert seen == [[None] * 4]
    assert context.backbone().image_size == 128  # whoever needs it later gets it again

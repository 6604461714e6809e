"""A benchmark of the embedded world whose stages take seconds, to measure what is not the models."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasetdm import config
from datasetdm.pipeline.context import Context, open_context
from datasetdm.pipeline.paths import Paths


def small_benchmark(
    data: Path, benchmark: str = "coco", *, dtype: str | None = None, **sections: Mapping[str, Any]
) -> Context:
    """A benchmark of params.yaml with short trainings, and with other settings where they are given.

    Args:
        data: folder of its outputs.
        benchmark: its name; it is one of the embedded world.
        dtype: of the diffusion model; None: as in params.yaml.
        sections: settings by section, such as `synthesis={"num_images": 100}`.
    """
    base = open_context(benchmark).params
    block = base.benchmark(benchmark)
    assert block.source.miniworld is not None
    source = block.source.model_copy(
        update={
            "root": data / "raw",
            "miniworld": block.source.miniworld.model_copy(update={"num_train": 60, "num_val": 10}),
        }
    )
    settings = block.model_copy(
        update={
            "seeds": (0,),
            "source": source,
            "ingest": config.Ingest(num_real=10, num_dev=10),
            "decoder": block.decoder.model_copy(update={"iterations": 20, "evaluate_every": 20, "views_per_image": 4}),
            **{name: getattr(block, name).model_copy(update=changes) for name, changes in sections.items()},
        }
    )
    backbone = base.backbone.model_copy(update={"dtype": dtype or base.backbone.dtype})
    params = base.model_copy(update={"benchmarks": {"speed": settings}, "study": {}, "backbone": backbone})
    return replace(open_context("speed", params=params), paths=Paths(data, "speed"))

"""The shards of a synthetic set without drawing them: what a set of 80 000 images costs besides the images."""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.performance.project import small_benchmark
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Sample
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.run import run_stage
from datasetdm.pipeline.engine.units import make_unit
from datasetdm.pipeline.rounds.shard import REJECTED, Shard
from datasetdm.pipeline.stages import STAGES, synthesize
from datasetdm.utils.files import write_bytes

OBJECTS = 4  # of an image
ACCEPTED = 0.75  # share of the images


def simulate_shards(data: Path, images: int) -> Context:
    """A benchmark whose shards are all there: noise with rectangles for objects.

    Args:
        data: folder of the benchmark.
        images: number of synthetic images.
    """
    context = small_benchmark(data, synthesis={"num_images": images, "shard_size": 500})
    for name in ("ingest", "adapt", "train_decoder", "write_prompts"):
        run_stage(STAGES[name], context)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 128, 128, 3), dtype=np.uint8)
    files = list(map(_png, pixels))
    for unit in synthesize.STAGE.plan(context):
        if isinstance(unit.payload, Shard):
            make_unit(unit.folder, partial(_fill, context, unit.payload, pixels, files))
    return context


def _png(image: np.ndarray) -> bytes:
    """The file that `write_image` writes; encoding 80 000 of them would take longer than all else."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="png")
    return stream.getvalue()


def _fill(context: Context, shard: Shard, pixels: np.ndarray, files: Sequence[bytes], folder: Path) -> None:
    samples: dict[bool, list[Sample]] = {True: [], False: []}
    rows = []
    for request in shard.requests(context):
        rng = np.random.default_rng(request.seed)
        accepted = bool(rng.random() < ACCEPTED)
        image = pixels[request.index % len(pixels)]
        write_bytes(folder / "images" / request.name, files[request.index % len(files)])
        rows.append(
            {
                "image": request.name,
                "decoder": "seed_0",
                "accepted": accepted,
                "rejected": None if accepted else "count",
                "score": float(rng.random()),
                "prompt": request.prompt,
                "seed": request.seed,
            }
        )
        target = _objects(rng, image.shape[:2], len(context.task().categories))
        samples[accepted].append(
            Sample(name=request.name, image=image, caption=request.prompt, target=target, image_id=request.index + 1)
        )
    form = standard_format(*context.task().kind)
    form.save(folder, "seed_0", samples[True])
    form.save(folder / REJECTED, "seed_0", samples[False])
    pd.DataFrame(rows).to_parquet(folder / "manifest.parquet", index=False)


def _objects(rng: np.random.Generator, size: tuple[int, int], categories: int) -> Instances:
    masks = np.zeros((OBJECTS, *size), dtype=bool)
    for mask in masks:
        top, left = rng.integers(0, size[0] - 40), rng.integers(0, size[1] - 40)
        mask[top : top + int(rng.integers(8, 40)), left : left + int(rng.integers(8, 40))] = True
    labels = rng.integers(0, categories, OBJECTS)
    return Instances.of(masks, labels, rng.uniform(0.4, 1, OBJECTS).astype(np.float32))

"""Putting a large synthetic set together: ours against reading every image and mask and writing them again."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from benchmarks.performance.measurement import Measurement, alone, cost_of, seconds_of
from benchmarks.performance.simulated_set import simulate_shards
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.run import finish_stage
from datasetdm.pipeline.stages import synthesize
from datasetdm.utils.images import read_image

SAMPLE = 1000  # images that the reference reads; it takes as long for each


def measure(data: Path, *, images: int = 20_000) -> Measurement:
    """Seconds per 1 000 images, and our peak memory, each way in a separate process.

    The details have the seconds that parts of the set take, an eighth and so on, which show how the time grows; the
    processor's share of the seconds; and how long `dvc status` takes once DVC knows the whole set.

    Args:
        data: where the simulated shards lie, or are made.
        images: of the set.
    """
    folder = data / "set"
    simulate_shards(folder, images)
    grown = {count: alone(_publish, folder, count) for count in (images // 8, images // 4, images // 2, images)}
    (ours, processor), memory = grown[images]
    output = folder / "synthetic" / "speed"
    reference, _ = alone(_read_and_write, output)
    return Measurement(
        ours=ours / images * 1000,
        reference=reference / SAMPLE * 1000,
        unit="seconds per 1 000 images",
        higher_is_better=False,
        of=f"merge, check and publish {images} images of four objects; read and write each image and mask again",
        details={
            "images": images,
            "seconds": round(ours, 1),
            "processor_seconds": round(processor, 1),
            "seconds_by_images": {count: round(taken, 1) for count, ((taken, _), _) in grown.items()},
            "processor_seconds_by_images": {count: round(own, 1) for count, ((_, own), _) in grown.items()},
            "dvc_status_seconds": round(_status_seconds(output, data), 1),
            "peak_gb": round(memory, 2),
        },
    )


def _publish(folder: Path, images: int) -> tuple[float, float]:
    context = simulate_shards(folder, images)  # they are there by now
    _forget(context)
    plan = synthesize.STAGE.plan(context)
    return cost_of(lambda: finish_stage(synthesize.STAGE, context, plan))


def _status_seconds(output: Path, data: Path) -> float:
    """How long `dvc status` takes in a project that has this folder under DVC, and the project's `.dvcignore`."""
    with tempfile.TemporaryDirectory(dir=data) as name:
        own = Path(name) / "data" / "synthetic" / "speed"
        shutil.copytree(output, own, copy_function=os.link)
        shutil.copy(".dvcignore", name)
        for arguments in (["init", "--no-scm"], ["add", "--no-commit", str(own)], ["status"]):
            work = partial(subprocess.run, [sys.executable, "-m", "dvc", *arguments, "--quiet"], cwd=name, check=False)
            seconds = seconds_of(work)
        return seconds


def _forget(context: Context) -> None:
    if context.paths.synthetic.exists():
        shutil.rmtree(context.paths.synthetic)


def _read_and_write(folder: Path) -> None:
    coco = COCO(str(folder / "annotations" / "seed_0.json"))
    with tempfile.TemporaryDirectory() as name:
        records = []
        for image in coco.loadImgs(coco.getImgIds()[:SAMPLE]):
            pixels = read_image(folder / "images" / image["file_name"])
            Image.fromarray(pixels).save(Path(name) / image["file_name"])
            for annotation in coco.loadAnns(coco.getAnnIds([image["id"]])):
                rle = coco_mask.encode(np.asfortranarray(coco.annToMask(annotation)))
                records.append({**annotation, "segmentation": {**rle, "counts": rle["counts"].decode()}})
        (Path(name) / "annotations.json").write_text(json.dumps(records))

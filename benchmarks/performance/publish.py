"""Putting a large synthetic set together: ours against reading every image and mask and writing them again."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from benchmarks.performance.measurement import Measurement, alone, seconds_of
from benchmarks.performance.simulated_set import simulate_shards
from datasetdm.pipeline.context import Context
from datasetdm.pipeline.engine.run import finish_stage
from datasetdm.pipeline.stages import synthesize
from datasetdm.utils.images import read_image

SAMPLE = 1000  # images that the reference reads; it takes as long for each


def measure(data: Path, *, images: int = 20_000) -> Measurement:
    """Seconds per 1 000 images, and our peak memory, each way in a separate process.

    Args:
        data: where the simulated shards lie, or are made.
        images: of the set.
    """
    folder = data / f"set_{images}"
    simulate_shards(folder, images)
    ours, memory = alone(_publish, folder, images)
    reference, _ = alone(_read_and_write, folder / "synthetic" / "speed")
    return Measurement(
        ours=ours / images * 1000,
        reference=reference / SAMPLE * 1000,
        unit="seconds per 1 000 images",
        higher_is_better=False,
        of=f"merge, check and publish {images} images of four objects; read and write each image and mask again",
        details={"images": images, "seconds": round(ours, 1), "peak_gb": round(memory, 2)},
    )


def _publish(folder: Path, images: int) -> float:
    context = simulate_shards(folder, images)  # they are there by now
    _forget(context)
    return seconds_of(lambda: finish_stage(synthesize.STAGE, context, synthesize.STAGE.plan(context)))


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

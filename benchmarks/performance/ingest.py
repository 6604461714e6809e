"""Selecting a few hundred images out of a data set of COCO's size: ours against pycocotools and a random choice."""

import random
import shutil
import tempfile
from functools import partial
from pathlib import Path

from pycocotools.coco import COCO

from benchmarks.performance.measurement import Measurement, alone, cost_of
from benchmarks.performance.simulated_coco import IMAGES, OBJECTS, simulate_coco
from datasetdm import config
from datasetdm.pipeline.ingestion.ingest import ingest
from datasetdm.utils.files import write_json

CHOSEN = 400


def measure(data: Path, *, images: int = IMAGES, objects: int = OBJECTS) -> Measurement:
    """Seconds and peak memory, each way in a separate process.

    Ours also checks every record, balances the categories, keeps dev and test apart and encodes masks; the reference
    parses the file, takes images at random and writes their records.

    Args:
        data: where the simulated data set lies, or is made.
        images: of the data set.
        objects: annotated in these.
    """
    root = simulate_coco(data / f"coco_{images}", images=images, objects=objects)
    (ours, processor), our_memory = alone(cost_of, partial(_ingest, root))
    (reference, reference_processor), memory = alone(cost_of, partial(_choose_at_random, root))
    return Measurement(
        ours=ours,
        reference=reference,
        unit="seconds",
        higher_is_better=False,
        of=f"ingest selects {CHOSEN} of {images} images with {objects} objects; pycocotools and a random choice",
        details={
            "processor_seconds": round(processor, 1),
            "reference_processor_seconds": round(reference_processor, 1),
            "peak_gb": round(our_memory, 2),
            "reference_peak_gb": round(memory, 2),
        },
    )


def _ingest(root: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        ingest(
            config.DataSource(format="coco", root=root),
            config.Ingest(num_real=CHOSEN, num_dev=100, num_oracle=0, num_test=100),
            config.InstanceAnnotation(),
            [0],
            Path(name) / "real",
        )


def _choose_at_random(root: Path) -> None:
    coco = COCO(str(root / "annotations" / "instances_train2017.json"))
    chosen = random.Random(0).sample(coco.getImgIds(), CHOSEN)
    content = {
        "images": coco.loadImgs(chosen),
        "annotations": coco.loadAnns(coco.getAnnIds(chosen)),
        "categories": coco.dataset["categories"],
    }
    with tempfile.TemporaryDirectory() as name:
        for image in content["images"]:
            shutil.copy(root / "train2017" / image["file_name"], name)
        write_json(Path(name) / "chosen.json", content)

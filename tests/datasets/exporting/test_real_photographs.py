"""Photographs of COCO with their own polygons, crowds and 80 categories, under names as cameras give them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.exporting.contents import Contents, SourceSet
from datasetdm.datasets.exporting.exporting import export
from datasetdm.datasets.exporting.formats import FORMATS
from datasetdm.datasets.native import open_split
from datasetdm.datasets.standard.formats import standard_format
from tests.datasets.exporting.conftest import SETTINGS, iou
from tests.datasets.importing.conftest import Import, run_import  # noqa: F401

REAL = Path(__file__).parents[4] / "shared" / "realdata" / "COCO2017"
NAMES = ("Urlaub 2024 (Größe).jpg", "IMG_2041.JPG", "写真 1.jpg", "a & b, 100%.jpg", "DSC.0001.jpeg", "ünïcode #7.jpg")

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="no real photographs here")


def real_contents(folder: Path, kind: str, task: str, count: int) -> tuple[Contents, list[Sample]]:
    """Some photographs as the labelled images of a benchmark."""
    split = open_split(kind, REAL, "train")
    chosen = [index for index in range(len(split)) if len(split.labels_of(index)) > 1][:count]
    files = standard_format(SETTINGS[task], split.categories)
    samples = []
    for number, index in enumerate(chosen):
        name = NAMES[number] if number < len(NAMES) else f"{number}.jpg"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).write_bytes(split.path_of(index).read_bytes())
        samples.append(replace(split[index], name=name, image_id=number + 1))
    files.save(folder, "few_shot_0", samples)
    part = SourceSet(
        benchmark="coco",
        name="real",
        split="train",
        count=len(samples),
        describe=lambda: files.describe(folder, "few_shot_0"),
    )
    return Contents(task=task, categories=split.categories, sets=(part,), description="photographs"), samples


def back(run: Import, folder: Path, kind: str) -> dict[bytes, Sample]:
    found = run(folder, keep_going=True)
    return {s.image.tobytes(): s for side in ("train", "val") for s in open_split(kind, found.folder, side)}


@pytest.mark.parametrize("name", ["coco", "coco_polygons", "yolo"])
def test_objects_come_back(name: str, tmp_path: Path, run_import: Import) -> None:  # noqa: F811
    contents, samples = real_contents(tmp_path / "set", "coco", "instance", 6)
    export(contents, FORMATS[name].write, tmp_path / "out")
    found = back(run_import, tmp_path / "out", "coco")
    assert len(found) == len(samples) == 6 and len(contents.categories) == 80
    for sample in samples:
        target, other = sample.target, found[sample.image.tobytes()].target
        kept = target if name != "yolo" else target.select(np.flatnonzero(~target.crowd))
        assert other.labels.tolist() == kept.labels.tolist()
        assert min(iou(*pair) for pair in zip(kept.masks, other.masks, strict=True)) > 0.999


@pytest.mark.parametrize("name", ["coco", "yolo"])
def test_poses_come_back(name: str, tmp_path: Path, run_import: Import) -> None:  # noqa: F811
    contents, samples = real_contents(tmp_path / "set", "coco_pose", "pose", 4)
    export(contents, FORMATS[name].write, tmp_path / "out")
    found = back(run_import, tmp_path / "out", "coco_pose")
    for sample in samples:
        target, other = sample.target, found[sample.image.tobytes()].target
        kept = target if name != "yolo" else target.select(np.flatnonzero(~target.crowd))
        np.testing.assert_allclose(_sorted(other.keypoints), _sorted(kept.keypoints), atol=2e-3)


def _sorted(poses: np.ndarray) -> Sequence[Sequence[float]]:
    return sorted(poses.reshape(len(poses), -1).tolist())


@pytest.mark.extended
def test_every_format_takes_photographs(tmp_path: Path) -> None:
    contents, _ = real_contents(tmp_path / "set", "coco", "instance", 40)
    for name, known in FORMATS.items():
        if "instance" in known.tasks:
            export(contents, known.write, tmp_path / name, plain_names=known.plain_names)

"""What is exported comes back through the project's own importers, object by object."""

from pathlib import Path

import numpy as np
import pytest

from datasetdm.annotations.sample import Sample
from datasetdm.datasets.importing.writing import FORMATS as LAYOUTS
from datasetdm.datasets.native import open_split
from tests.datasets.exporting.conftest import CATEGORIES, MakeExport, iou
from tests.datasets.importing.conftest import Import, run_import  # noqa: F401


def imported(run: Import, folder: Path, task: str, **options) -> dict[bytes, Sample]:
    """The samples that an import finds, by their pixels, with the names of their categories."""
    found = run(folder, **options)
    splits = [open_split(LAYOUTS[task], found.folder, side) for side in ("train", "val")]
    assert [c.name for c in splits[0].categories] == [c.name for c in CATEGORIES[task]]
    return {sample.image.tobytes(): sample for split in splits for sample in split}


@pytest.mark.parametrize("name", ["coco", "coco_polygons", "yolo"])
def test_instances(name: str, make_export: MakeExport, run_import: Import) -> None:  # noqa: F811
    folder, samples = make_export("instance", name, count=12)
    found = imported(run_import, folder, "instance", keep_going=True)
    assert len(found) == len(samples) == 12
    for sample in samples:
        target, back = sample.target, found[sample.image.tobytes()]
        # YOLO has no crowds.
        kept = target if name != "yolo" else target.select(np.flatnonzero(~target.crowd))
        assert back.target.labels.tolist() == kept.labels.tolist()
        assert back.target.crowd.tolist() == kept.crowd.tolist()
        assert all(iou(one, other) == 1 for one, other in zip(kept.masks, back.target.masks, strict=True))
        if name != "yolo":
            assert back.caption == sample.caption
            assert [item.license.get("name") for item in back.attribution] == [
                "CC BY 4.0" if sample.attribution else "generated"
            ]


@pytest.mark.parametrize("name", ["coco", "coco_polygons", "yolo"])
def test_poses(name: str, make_export: MakeExport, run_import: Import) -> None:  # noqa: F811
    folder, samples = make_export("pose", name, count=8)
    found = imported(run_import, folder, "pose")
    assert len(found) == 8
    for sample in samples:
        back = found[sample.image.tobytes()].target
        np.testing.assert_allclose(back.keypoints, sample.target.keypoints, atol=1e-3)
        np.testing.assert_allclose(back.boxes, sample.target.boxes, atol=1e-3)
        if name != "yolo":
            assert (back.masks == sample.target.masks).all()


@pytest.mark.parametrize("name", ["voc", "imagefolder"])
def test_semantic_maps(name: str, make_export: MakeExport, run_import: Import) -> None:  # noqa: F811
    folder, samples = make_export("semantic", name, count=8, splits=("train", "val"))
    found = imported(run_import, folder, "semantic")
    assert len(found) == len(samples) == 16
    for sample in samples:
        assert (found[sample.image.tobytes()].target.labels == sample.target.labels).all()


def test_depth(make_export: MakeExport, run_import: Import) -> None:  # noqa: F811
    folder, samples = make_export("depth", "imagefolder", count=8, splits=("train", "val"))
    found = imported(run_import, folder, "depth", depth_scale=1000, scene="kitchen")
    assert len(found) == len(samples)
    for sample in samples:
        back = found[sample.image.tobytes()].target
        assert (back.valid_mask == sample.target.valid_mask).all()
        np.testing.assert_allclose(back.depth, sample.target.depth, atol=5e-4)


def test_objects_as_voc_become_maps_of_their_categories(make_export: MakeExport, run_import: Import) -> None:  # noqa: F811
    folder, samples = make_export("instance", "voc", count=8)
    found = run_import(folder)
    back = {s.image.tobytes(): s.target for side in ("train", "val") for s in open_split("voc", found.folder, side)}
    for sample in samples:
        target, labels = sample.target, back[sample.image.tobytes()].labels
        shown = target.masks.any(axis=0)
        assert ((labels > 0) == shown).all()
        for mask, label, crowd in zip(target.masks, target.labels, target.crowd, strict=True):
            alone = mask & (target.masks.sum(axis=0) == 1)
            assert (labels[alone] == (255 if crowd else label + 1)).all()

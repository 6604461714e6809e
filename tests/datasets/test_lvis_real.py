"""Real LVIS images and annotations, where they are at hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from datasetdm.datasets.native.lvis import LvisSplit, open_lvis
from datasetdm.datasets.standard.coco import load_coco
from datasetdm.datasets.standard.coco_writing import save_coco
from datasetdm.evaluation.coco import CocoMaskEvaluator

ROOT = Path(__file__).parents[3] / "shared" / "realdata" / "LVIS"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason=f"real LVIS samples are not at {ROOT}")


@pytest.fixture(scope="module")
def val() -> LvisSplit:
    return open_lvis(ROOT, "val")


def test_the_part_with_all_its_images_is_read(val: LvisSplit) -> None:
    assert val.annotation_file.name == "lvis_v0.5_val_subset.json"
    assert (len(val), val.report.annotations, len(val.categories)) == (33, 205, 1230)
    assert not val.report.rejected
    assert val.names[0] == "val2017/000000006460.jpg"
    groups = [category.frequency for category in val.categories]
    assert (groups.count("r"), groups.count("c"), groups.count("f")) == (454, 461, 315)
    assert len({category.noun for category in val.categories}) == 1230


def test_annotations_are_those_of_the_file(val: LvisSplit) -> None:
    content = json.loads(val.annotation_file.read_bytes())
    images = {image["id"]: image for image in content["images"]}
    for index in range(len(val)):
        image = images[val.image_ids[index]]
        annotations = [item for item in content["annotations"] if item["image_id"] == image["id"]]
        target = val[index].target
        ids = [val.categories[label].id for label in target.labels]
        assert ids == [item["category_id"] for item in annotations]
        assert {val.categories[label].id for label in target.judged} == {*ids, *image["neg_category_ids"]}
        assert [val.categories[label].id for label in target.not_exhaustive] == sorted(
            image["not_exhaustive_category_ids"]
        )
        for mask, item in zip(target.masks, annotations, strict=True):  # drawn on whole pixels, against the polygon
            perimeter = sum(np.abs(np.diff([*part, *part[:2]], n=1)).sum() for part in item["segmentation"])
            assert abs(mask.sum() - item["area"]) <= 0.05 * item["area"] + perimeter


def test_it_reads_back_equal_and_judges_itself_perfect(val: LvisSplit, tmp_path: Path) -> None:
    part = [val[index] for index in range(0, len(val), 4)]
    save_coco(tmp_path / "part.json", val.images_dir, part, val.categories)
    read = load_coco(tmp_path / "part.json", val.images_dir)
    assert read.categories == val.categories
    evaluator = CocoMaskEvaluator(val.categories)
    for before, after in zip(part, read, strict=True):
        assert np.array_equal(before.target.masks, after.target.masks)
        assert np.array_equal(before.target.labels, after.target.labels)
        assert (before.target.judged, before.target.not_exhaustive) == (
            after.target.judged,
            after.target.not_exhaustive,
        )
        evaluator.add(before.target, after.target)
    metrics = evaluator.compute()
    assert metrics["mask_ap"] == pytest.approx(1)
    assert metrics["mask_ap_frequent"] == pytest.approx(1)
    assert not any("/" in name for name in metrics)

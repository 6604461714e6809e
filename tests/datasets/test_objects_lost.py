"""Objects that cannot be used are counted, told, and too many of them stop ingestion."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from datasetdm import config
from datasetdm.annotations.persons import KEYPOINTS, SKELETON
from datasetdm.datasets.object_counts import remarks, tables, without_example
from datasetdm.datasets.standard.coco import load_coco
from datasetdm.datasets.standard.coco_keypoints import load_coco_keypoints
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.ingestion.ingest import ingest


def _ingest(root: Path, out: Path, *, source: dict[str, Any] | None = None, **counts: Any) -> dict[str, Any]:
    """Returns the content of `ingest.json`."""
    settings = config.Ingest.model_validate({"num_real": 8, "num_dev": 6, "num_oracle": 10, **counts})
    data = config.DataSource(format="coco", root=root, **(source or {}))
    ingest(data, settings, config.InstanceAnnotation(), (0, 1), out)
    return json.loads((out / "ingest.json").read_text())


def _boxes_alone(content: dict, every: int) -> None:
    for record in content["annotations"][::every]:
        xs, ys = record["segmentation"][0][0::2], record["segmentation"][0][1::2]
        record["bbox"] = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        record["segmentation"] = []


def _crowds(content: dict, every: int) -> None:
    for record in content["annotations"][::every]:
        record["iscrowd"] = 1
        record["segmentation"] = {"size": [16, 20], "counts": [40, 100, 180]}


@pytest.mark.parametrize("split", ["train", "val"])
def test_many_boxes_without_masks_stop(
    native: Callable, edit_annotations: Callable, tmp_path: Path, split: str
) -> None:
    root = native()
    edit_annotations(root, split, lambda content: _boxes_alone(content, 2))
    says = rf"instances_{split}2017\.json: \d+ of its \d+ objects .* \d+ with a box but no mask.*Draw masks"
    with pytest.raises(DatasetDMError, match=says):
        _ingest(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()  # told before a file is written
    figures = _ingest(root, tmp_path / "out", max_lost=0.6)
    assert figures["test"]["boxes_only"] == (0 if split == "train" else 8)
    assert (figures["oracle"]["boxes_only"] > 0) == (split == "train")


def test_a_few_boxes_without_masks_are_passed_over_and_told(
    native: Callable, edit_annotations: Callable, tmp_path: Path
) -> None:
    root, out = native(), tmp_path / "out"
    edit_annotations(root, "val", lambda content: _boxes_alone(content, 15))
    figures = _ingest(root, out)
    assert (figures["test"]["boxes_only"], figures["test"]["objects"], figures["test"]["rejected"]) == (1, 14, [])
    lines = remarks(figures, ["apple"])
    assert lines[-1] == "test: 12 images, 14 objects (apple 6, dog 4, cup 4); left out: 1 with a box but no mask"
    assert len(lines) == len(figures) and not any("left out" in line for line in lines[:-1])
    content = json.loads((out / "annotations" / "test.json").read_text())
    ignored = [record for record in content["annotations"] if record["iscrowd"]]
    assert [record["bbox"] for record in ignored] == [[2, 3, 6, 7]]  # a detection there is no mistake


def test_crowds_stop_or_are_objects(native: Callable, edit_annotations: Callable, tmp_path: Path) -> None:
    root = native()
    for split in ("train", "val"):
        edit_annotations(root, split, lambda content: _crowds(content, 3))
    with pytest.raises(DatasetDMError, match=r"(?s)train2017.*crowd regions.*crowds: as_objects.*val2017.*max_lost"):
        _ingest(root, tmp_path / "out")
    figures = _ingest(root, tmp_path / "objects", source={"crowds": "as_objects"})
    assert figures["test"]["objects"] == 15 and figures["test"]["crowds"] == 0
    split = load_coco(tmp_path / "objects" / "annotations" / "test.json", tmp_path / "objects" / "images")
    assert not any(sample.target.crowd.any() for sample in split)
    figures = _ingest(root, tmp_path / "crowds", max_lost=0.5)
    assert figures["test"]["objects"] == 10 and figures["test"]["crowds"] == 5


def test_a_file_of_crowds_alone_is_told_as_such(native: Callable, edit_annotations: Callable, tmp_path: Path) -> None:
    root = native()
    edit_annotations(root, "val", lambda content: _crowds(content, 1))
    with pytest.raises(DatasetDMError, match=r"\(100%\) would be left out: 15 crowd regions"):
        _ingest(root, tmp_path / "out")
    with pytest.raises(DatasetDMError, match=r"'test': there are 15 crowd regions .*as_objects") as error:
        _ingest(root, tmp_path / "out", max_lost=1.0)
    assert "file with the labels" not in str(error.value)


def test_coordinates_that_are_no_pixels_stop(native: Callable, edit_annotations: Callable, tmp_path: Path) -> None:
    """Shares of the image, as YOLO has them, cover no pixel."""
    root = native()

    def shrink(content: dict) -> None:
        for record in content["annotations"]:
            record["segmentation"] = [[value / 20 for value in polygon] for polygon in record["segmentation"]]

    for split in ("train", "val"):
        edit_annotations(root, split, shrink)
    with pytest.raises(DatasetDMError, match=r"without a pixel"):
        _ingest(root, tmp_path / "out")


def test_crowds_are_a_setting_of_formats_that_have_them() -> None:
    with pytest.raises(ValueError, match="'voc' has no crowd regions"):
        config.Source(format="voc", root=Path("x"), crowds="as_objects")


def test_categories_without_an_example_are_told(native: Callable, edit_annotations: Callable, tmp_path: Path) -> None:
    root = native()
    for split in ("train", "val"):
        edit_annotations(root, split, lambda content: content["categories"].insert(0, {"id": 0, "name": "toys"}))
    figures = _ingest(root, tmp_path / "out")
    names = ["toys", "apple", "dog", "cup"]
    assert all(list(figure["objects_per_category"]) == names for figure in figures.values())
    assert without_example(figures, names) == ["toys"]
    assert remarks(figures, names)[-1] == "categories without a labelled example in some few-shot set: 1 (toys)"
    shown = tables(figures)
    assert "| toys | 0 | 0 | 0 | 0 | 0 |" in shown["Objects per category"]
    assert "| test | 12 | 1 | 15 | 0 | 0 | 0 |" in shown["Objects"]


def test_persons_need_no_mask(tmp_path: Path) -> None:
    root = tmp_path / "pose"
    category = {"id": 1, "name": "person", "keypoints": list(KEYPOINTS), "skeleton": [list(pair) for pair in SKELETON]}
    (root / "annotations").mkdir(parents=True)
    for split, first in (("train", 1), ("val", 100)):
        (root / f"{split}2017").mkdir()
        images, persons = [], []
        for number in range(first, first + 6):
            name = f"{number}.jpg"
            Image.new("RGB", (30, 20), (number, 80, 90)).save(root / f"{split}2017" / name)
            images.append({"id": number, "file_name": name, "width": 30, "height": 20})
            points = [12, 8, 2] * 9 + [0, 0, 0] * 8
            persons.append(
                {"id": number, "image_id": number, "category_id": 1, "bbox": [10, 5, 8, 12], "keypoints": points}
            )
        content = {"images": images, "annotations": persons, "categories": [category]}
        (root / "annotations" / f"person_keypoints_{split}2017.json").write_text(json.dumps(content))
    source = config.DataSource(format="coco_pose", root=root)
    out = tmp_path / "out"
    ingest(source, config.Ingest(num_real=3, num_dev=2), config.PoseAnnotation(), (0,), out)
    figures = json.loads((out / "ingest.json").read_text())
    assert (figures["test"]["objects"], figures["test"]["boxes_only"], figures["test"]["rejected"]) == (6, 0, [])
    person = load_coco_keypoints(out / "annotations" / "test.json", out / "images")[0].target
    assert person.boxes.tolist() == [[10, 5, 8, 12]] and person.crowd.tolist() == [False]
    assert person.masks[0, 5:17, 10:18].all() and person.masks.sum() == 8 * 12
    assert (person.keypoints[0, :9, 2] == 2).all()

"""Categories: the same in both splits, and told apart by every prompt."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.datasets.standard.coco import load_coco
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.ingestion.ingest import ingest


def _ingest(root: Path, out: Path, **source: Any) -> None:
    settings = config.Ingest(num_real=8, num_dev=6)
    ingest(config.DataSource(format="coco", root=root, **source), settings, config.InstanceAnnotation(), (0,), out)


def _add(edit_annotations: Callable, root: Path, *categories: dict[str, Any]) -> None:
    for split in ("train", "val"):
        edit_annotations(root, split, lambda content: content["categories"].extend(categories))


def test_order_and_supercategory_do_not_matter(native: Callable, edit_annotations: Callable, tmp_path: Path) -> None:
    root, out = native(), tmp_path / "out"

    def change(content: dict) -> None:
        content["categories"].reverse()
        content["categories"][0]["supercategory"] = "kitchen"

    edit_annotations(root, "val", change)
    _ingest(root, out)
    test = load_coco(out / "annotations" / "test.json", out / "images")
    assert [category.name for category in test.categories] == ["apple", "dog", "cup"]
    assert test.categories == load_coco(out / "annotations" / "few_shot_0.json", out / "images").categories


def test_what_differs_is_told(native: Callable, edit_annotations: Callable, tmp_path: Path) -> None:
    root = native()

    def change(content: dict) -> None:
        content["categories"][0]["name"] = "pear"
        content["categories"].append({"id": 91, "name": "toothbrush"})

    edit_annotations(root, "val", change)
    says = r"id 3 is 'apple' in the first and 'pear' in the second; 'toothbrush' \(id 91\) is in the second only\."
    with pytest.raises(DatasetDMError, match=says):
        _ingest(root, tmp_path / "out")


@pytest.mark.parametrize("name", ["Dog", "dog_", "DOG", "\uff44og"])
def test_names_that_read_the_same_are_refused_or_merged(
    native: Callable, edit_annotations: Callable, tmp_path: Path, name: str
) -> None:
    root, out = native(), tmp_path / "out"
    _add(edit_annotations, root, {"id": 5, "name": name})
    edit_annotations(
        root,
        "val",
        lambda content: [record.update(category_id=5) for record in content["annotations"][1::6]],
    )
    with pytest.raises(DatasetDMError, match=rf"'{name}' \(id 5\) and 'dog' \(id 17\)\. .*merge_same_names"):
        _ingest(root, out)
    _ingest(root, out, merge_same_names=True)
    records = json.loads((out / "categories.json").read_text())
    assert [(record["id"], record["name"]) for record in records] == [(3, "apple"), (5, name), (90, "cup")]
    counts = json.loads((out / "ingest.json").read_text())["test"]["objects_per_category"]
    before = json.loads((root / "annotations" / "instances_val2017.json").read_text())["annotations"]
    assert counts[name] == sum(record["category_id"] in (5, 17) for record in before)
    assert sum(counts.values()) == len(before)
    written = json.loads((out / "annotations" / "test.json").read_text())["annotations"]
    assert sorted(record["category_id"] for record in written) == sorted(
        {17: 5}.get(record["category_id"], record["category_id"]) for record in before
    )


def test_new_names_may_merge(native: Callable, tmp_path: Path) -> None:
    root, out = native(), tmp_path / "out"
    _ingest(root, out, names={"cup": "fruit", "apple": "fruit"}, merge_same_names=True)
    assert [record["name"] for record in json.loads((out / "categories.json").read_text())] == ["fruit", "dog"]


def test_categories_of_maps_are_told_apart_too(tmp_path: Path) -> None:
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("background\ntraffic light\ncar\ntraffic_light\n")
    for split, first in (("train", 0), ("val", 10)):
        stems = [f"{number}" for number in range(first, first + 6)]
        for number, stem in enumerate(stems):
            Image.new("RGB", (20, 12), (number, first, 7)).save(root / "JPEGImages" / f"{stem}.jpg")
            values = np.zeros((12, 20), np.uint8)
            values[2:6, 3:9], values[8:, 3:9] = 1 + number % 3, 3
            Image.fromarray(values).save(root / "SegmentationClass" / f"{stem}.png")
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(stems))
    settings, task = config.Ingest(num_real=3, num_dev=2), config.SemanticAnnotation()
    source = config.DataSource(format="voc", root=root)
    with pytest.raises(DatasetDMError, match=r"'traffic light' \(id 1\) and 'traffic_light' \(id 3\)"):
        ingest(source, settings, task, (0,), tmp_path / "out")
    merged = source.model_copy(update={"merge_same_names": True})
    ingest(merged, settings, task, (0,), tmp_path / "out")
    figures = json.loads((tmp_path / "out" / "ingest.json").read_text())
    assert figures["test"]["objects_per_category"] == {"background": 0, "traffic light": 6, "car": 2}
    labels = np.array(Image.open(next((tmp_path / "out" / "maps" / "test").glob("*10.png"))))
    assert np.unique(labels).tolist() == [0, 1]


def test_what_was_judged_of_merged_categories() -> None:
    """Four categories, of which the first two and the last two become one each."""
    table = np.array([0, 0, 1, 1])
    one = Instances.of(np.ones((1, 2, 2), bool), np.array([1]))
    assert one.relabelled(table).judged is None and one.relabelled(table).labels.tolist() == [0]
    both = replace(one, judged=(0, 1, 2, 3)).relabelled(table)
    assert (both.judged, both.not_exhaustive) == ((0, 1), ())
    partly = replace(one, judged=(1, 2)).relabelled(table)
    assert (partly.judged, partly.not_exhaustive) == ((0,), (0,))  # nobody looked for the others
    labels = SemanticMap.of(np.array([[0, 1, 2, 3, IGNORE]])).relabelled(table).labels
    assert labels.tolist() == [[0, 0, 1, 1, IGNORE]]

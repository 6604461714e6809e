"""Annotations of every task as columns, for images of odd sizes and categories with odd ids."""

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import KEYPOINTS, Persons
from datasetdm.annotations.sample import Category, Sample
from datasetdm.annotations.semantic_map import SemanticMap
from datasetdm.datasets.exporting.contents import Contents, SourceSet
from datasetdm.datasets.standard.formats import MapFormat, standard_format
from datasetdm.pipeline.publication.annotations import Annotations, annotations_of
from datasetdm.tasks import build_task

SIZES = {"a.png": (37, 61), "b.png": (90, 7)}
ANIMALS = [Category(id=7, name="cat"), Category(id=90, name="hot dog")]


def published(tmp_path: Path, settings: dict, categories: list[Category], targets: list) -> tuple[Annotations, dict]:
    """The annotations after they were written in the standard format, and the images by name."""
    task = build_task(config.task_settings(settings), categories)
    files = standard_format(*task.kind)
    samples = [
        Sample(name=name, image=np.zeros((*size, 3), np.uint8), caption="", target=target)
        for (name, size), target in zip(SIZES.items(), targets, strict=True)
    ]
    files.save(tmp_path, "seed_0", samples)
    part = SourceSet(
        benchmark="toys",
        name="synthetic",
        split="train",
        count=len(samples),
        describe=lambda: files.describe(tmp_path, "seed_0"),
    )
    codec = files.codec if isinstance(files, MapFormat) else None
    contents = Contents(task=settings["name"], categories=tuple(categories), sets=(part,), codec=codec)
    found = annotations_of(contents, files, task)
    return found, {item.name: item for item in found.items()}


def instances(size: tuple[int, int], count: int) -> Instances:
    masks = np.zeros((count, *size), dtype=bool)
    for number in range(count):
        masks[number, number : number + 5, 1:4] = True
    scores = np.linspace(0.5, 0.75, count, dtype=np.float32)
    labels, crowd = np.arange(count) % 2, np.zeros(count, dtype=bool)
    return Instances(masks=masks, labels=labels, scores=scores, crowd=crowd)


def test_objects_are_lists_per_image_and_an_image_may_have_none(tmp_path: Path) -> None:
    targets = [instances(SIZES["a.png"], 2), instances(SIZES["b.png"], 0)]
    found, items = published(tmp_path, {"name": "instance"}, ANIMALS, targets)
    assert found.column == "objects" and not found.are_maps
    first, second = found.objects(items["a.png"]), found.objects(items["b.png"])
    assert first["category"] == ["cat", "hot dog"] and first["category_id"] == [7, 90]
    assert first["bbox"][1] == [1.0, 1.0, 3.0, 5.0] and first["area"] == [15, 15] and first["score"] == [0.5, 0.75]
    for mask, runs in zip(targets[0].masks, first["segmentation"], strict=True):
        np.testing.assert_array_equal(coco_mask.decode(runs).astype(bool), mask)
    assert set(second) == set(first) and not any(second.values())


def test_persons_have_keypoints(tmp_path: Path) -> None:
    targets = []
    for size in SIZES.values():
        keypoints = np.zeros((1, len(KEYPOINTS), 3), np.float32)
        keypoints[0, 0] = [3.0, 5.0, 2.0]
        one, boxes = instances(size, 1), np.array([[1.0, 0.0, 3.0, 5.0]], np.float32)
        targets.append(Persons(keypoints=keypoints, boxes=boxes, masks=one.masks, scores=one.scores, crowd=one.crowd))
    found, items = published(tmp_path, {"name": "pose"}, [Category(id=1, name="person")], targets)
    objects = found.objects(items["b.png"])
    assert objects["category"] == ["person"] and objects["num_keypoints"] == [1]
    (keypoints,) = objects["keypoints"]
    assert len(keypoints) == len(KEYPOINTS) and keypoints[0] == [3, 5, 2]


def test_maps_are_pictures_whose_values_are_explained(tmp_path: Path) -> None:
    labels = [SemanticMap.of(np.full(size, 1, np.uint8)) for size in SIZES.values()]
    found, items = published(tmp_path, {"name": "semantic"}, ANIMALS, labels)
    assert found.column == "mask" and found.are_maps and "255" in found.meaning
    np.testing.assert_array_equal(found.export.map_of(items["b.png"]), np.full(SIZES["b.png"], 1, np.uint8))


@pytest.mark.parametrize(("farthest", "units"), [(10.0, 1000), (80.0, 256)])
def test_depth_names_its_unit(tmp_path: Path, farthest: float, units: int) -> None:
    maps = [DepthMap(depth=np.full(size, 2.5, np.float32), valid_mask=np.ones(size, bool)) for size in SIZES.values()]
    found, items = published(tmp_path, {"name": "depth", "max_depth": farthest}, ANIMALS, maps)
    assert found.column == "depth" and f"1/{units} m" in found.meaning
    assert (found.export.map_of(items["a.png"]) == 2.5 * units).all()

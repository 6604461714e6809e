"""Sets of every task that look like no other: odd sizes and names, holes, several parts, crowds, ignored pixels."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.masks import boxes_of_masks
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.sample import Attribution, Category, Sample
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.datasets.exporting.contents import Contents, SourceSet, Split
from datasetdm.datasets.exporting.exporting import export
from datasetdm.datasets.exporting.formats import FORMATS
from datasetdm.datasets.standard.formats import MapFormat, standard_format

SETTINGS: dict[str, config.TaskSection] = {
    "instance": config.InstanceAnnotation(),
    "semantic": config.SemanticAnnotation(),
    "depth": config.DepthAnnotation(max_depth=20.0),
    "pose": config.PoseAnnotation(),
}
#: Names that people's photographs have.
NAMES = (
    "Foto 1 (Küche).png",
    "IMG_0001.v2.PNG",
    "日本語 写真.png",
    "100% sure, & <more>.png",
    "plain.png",
    "a'b #3.png",
)
CATEGORIES: dict[str, tuple[Category, ...]] = {
    # More than COCO has, with gaps in the ids, and names that have to be quoted somewhere.
    "instance": tuple(
        Category(id=3 * number + 2, name=name, supercategory="things")
        for number, name in enumerate(
            ["traffic light", "yes", "it's: a 'test'", "Käfer & Co"] + [f"thing {n}" for n in range(96)]
        )
    ),
    "semantic": tuple(
        Category(id=number, name=name) for number, name in enumerate(["background", "sky", "no", "Bäume"])
    ),
    "depth": (Category(id=1, name="kitchen"),),
    "pose": (Category(id=1, name="person", supercategory="person"),),
}
LICENSE = {"id": 7, "name": "CC BY 4.0", "url": "https://example.org/by"}
ORIGIN = Attribution(
    file_name="x.jpg", fields={"coco_url": "https://example.org/x"}, license=LICENSE, info={"description": "A set"}
)


def blob(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A mask with several parts and holes."""
    noise = cv2.GaussianBlur(rng.random(size).astype(np.float32), (0, 0), 3)
    return noise > np.quantile(noise, rng.uniform(0.5, 0.9))


def _instances(rng: np.random.Generator, size: tuple[int, int], number: int) -> Instances:
    count = number % 4
    target = Instances.of(
        np.array([blob(rng, size) for _ in range(count)], dtype=bool).reshape(count, *size),
        rng.choice(len(CATEGORIES["instance"]), count, replace=False),
        np.round(rng.random(count), 3).astype(np.float32),
    )
    return replace(target, crowd=np.arange(count) == 2)


def _map(rng: np.random.Generator, size: tuple[int, int], number: int) -> SemanticMap:
    labels = np.zeros(size, dtype=np.uint8)
    for label in (1, 2, 3, IGNORE):
        labels[blob(rng, size)] = label
    return SemanticMap.of(labels)


def _depth(rng: np.random.Generator, size: tuple[int, int], number: int) -> DepthMap:
    known = ~blob(rng, size)
    metres = np.where(known, np.round(rng.uniform(0.5, 19, size), 3), 0).astype(np.float32)
    return DepthMap(depth=metres, valid_mask=known)


def _persons(rng: np.random.Generator, size: tuple[int, int], number: int) -> Persons:
    count = 1 + number % 2
    masks = np.array([blob(rng, size) for _ in range(count)])
    points = np.stack([rng.uniform(1, size[1] - 2, (count, 17)), rng.uniform(1, size[0] - 2, (count, 17))], axis=2)
    flags = rng.integers(0, 3, (count, 17, 1))
    points = np.where(flags > 0, np.round(points, 2), 0)
    return Persons(
        keypoints=np.concatenate([points, flags], axis=2).astype(np.float32),
        boxes=boxes_of_masks(masks),
        masks=masks,
        scores=np.ones(count, np.float32),
        crowd=np.zeros(count, dtype=bool),
    )


TARGETS = {"instance": _instances, "semantic": _map, "depth": _depth, "pose": _persons}


def samples_of(task: str, count: int = 6, seed: int = 0, names: Sequence[str] = NAMES) -> list[Sample]:
    """Annotated images of different sizes; every other one has a caption, every third one an attribution."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        size = (37 + 3 * number, 64 - 5 * number)
        found.append(
            Sample(
                name=names[number % len(names)] if number < len(names) else f"{number:05d}.png",
                image=rng.integers(0, 256, (*size, 3), dtype=np.uint8),
                caption=f"a photo of “{number}” things" if number % 2 else "",
                target=TARGETS[task](rng, size, number),
                image_id=number + 1,
                attribution=(ORIGIN,) if number % 3 == 0 and task in ("instance", "pose") else (),
            )
        )
    return found


def source_set(folder: Path, task: str, samples: Sequence[Sample], split: Split = "train", **changes: Any) -> SourceSet:
    """A set in the standard format, in a folder."""
    files = standard_format(SETTINGS[task], CATEGORIES[task])
    for sample in samples:
        if not sample.name.lower().endswith(".png"):  # the format writes PNG, and leaves alone what is there
            (folder / "images" / sample.name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sample.image).save(folder / "images" / sample.name, quality=95)
    files.save(folder, split, samples)
    fields: dict[str, Any] = {
        "benchmark": "mine",
        "name": "synthetic",
        "split": split,
        "count": len(samples),
        "describe": lambda: files.describe(folder, split),
        "license": {"id": 1, "name": "generated", "url": ""},
    }
    return SourceSet(**fields | changes)


def contents_of(task: str, *sets: SourceSet) -> Contents:
    files = standard_format(SETTINGS[task], CATEGORIES[task])
    return Contents(
        task=task,
        categories=CATEGORIES[task],
        sets=sets,
        codec=files.codec if isinstance(files, MapFormat) else None,
        description="images of mine",
    )


MakeExport = Callable[..., tuple[Path, list[Sample]]]


@pytest.fixture
def make_export(tmp_path: Path) -> MakeExport:
    """Export samples of a task in a format; returns the folder and the samples."""

    def make(task: str, name: str, count: int = 6, splits: Sequence[Split] = ("train",), **options: Any):
        sets, everything = [], []
        for number, split in enumerate(splits):
            samples = samples_of(task, count, seed=number)
            everything += samples
            columns = {sample.name: {"seed": 10 + n, "score": 0.5} for n, sample in enumerate(samples)}
            sets.append(
                source_set(tmp_path / "sets" / split, task, samples, split, columns=columns if not number else {})
            )
        out = tmp_path / name
        chosen = FORMATS[name]
        export(contents_of(task, *sets), chosen.write, out, plain_names=chosen.plain_names, **options)
        return out, everything

    return make


def image_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())

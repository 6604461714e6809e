"""Renders to measure against: an endless seeded stream of scenes for each purpose, and what their captions say."""

import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.backbone.command import IMAGE_SIZE
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Category, Sample
from datasetdm.miniworld import DISTRIBUTIONS, THING_BY_NAME, Scene, render, sample_scene, write_caption
from datasetdm.tasks.instance import InstanceTask
from datasetdm.utils.seeding import derived_seed

#: No stream shares a scene with another, with the pretraining images or with the data sets of the benchmarks.
STREAMS = {
    "training": 1,
    "held_out": 2,
    "prompts": 3,
    "reference": 4,
    "probe": 5,
    "web": 6,
    "few_shot": 7,
    "dev": 8,
    "labels": 9,
}


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One scene with its render, caption and objects (`sample.target` is `Instances`)."""

    scene: Scene
    sample: Sample


def take_shot(stream: str, number: int, *, seed: int, distribution: str = "coco") -> Shot:
    """Scene `number` of a stream, 128 px, in the styles that pretraining has seen too."""
    rng = np.random.default_rng(derived_seed(seed, STREAMS[stream], number))
    scene = sample_scene(rng, distribution)
    picture = render(scene, IMAGE_SIZE)
    ids = [category.id for category in categories_of(distribution)]
    labels = np.array([ids.index(number) for number in picture.category_ids], dtype=np.int64)
    sample = Sample(
        name=f"{stream}_{number:06d}.png",
        image=picture.image,
        caption=write_caption(scene, rng),
        target=Instances.of(picture.masks, labels),
        image_id=number + 1,
    )
    return Shot(scene=scene, sample=sample)


def take_shots(stream: str, count: int, *, seed: int, distribution: str = "coco") -> Iterator[Shot]:
    """The first `count` scenes of a stream."""
    for number in range(count):
        yield take_shot(stream, number, seed=seed, distribution=distribution)


@functools.cache
def categories_of(distribution: str) -> tuple[Category, ...]:
    """The things of a distribution in the order of their ids, as its export has them."""
    things = sorted(
        (THING_BY_NAME[name] for name in DISTRIBUTIONS[distribution].categories), key=lambda thing: thing.id
    )
    return tuple(Category(id=thing.id, name=thing.name, supercategory=thing.supercategory) for thing in things)


def coco_task() -> InstanceTask:
    """Instance segmentation of the miniworld's `coco`."""
    return InstanceTask(categories_of("coco"))


@functools.cache
def renderer_state() -> str:
    """Digest of a few renders and captions of `coco`: a changed renderer invalidates the cache."""
    digest = hashlib.sha256()
    for shot in take_shots("reference", 16, seed=0):
        digest.update(shot.sample.image.tobytes() + shot.sample.caption.encode())
    return digest.hexdigest()[:16]

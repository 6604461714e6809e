"""Augmented views of the labelled images: mirrored, zoomed, tinted, mixed, and their prompts varied."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from datasetdm import config
from datasetdm.annotations.sample import Sample
from datasetdm.tasks.base import Task
from datasetdm.transforms.geometry import IDENTITY, compose, mirror_maps, resize_matrix, squeeze
from datasetdm.transforms.prompt_noise import vary_prompt

SCALES = (0.7, 1.4)  # how far a view zooms out and in
MIX_SHARE = 0.6  # of the views show parts of two images, where the task can paste
SPLICE_SHARE = 0.4  # of those show them side by side
COLOUR_JITTER = 0.25  # largest relative change of brightness, contrast and saturation


@dataclass(frozen=True, kw_only=True)
class View:
    """A square picture with its prompt and annotation."""

    image: np.ndarray
    prompt: str
    target: Any


def draw_views(task: Task, samples: Sequence[Sample], settings: config.Decoder, side: int, seed: int) -> Iterator[View]:
    """`views_per_image` views of every sample in turn, `side` pixels square.

    A view depends on the seed, its sample's position and its own number alone. The first view of a sample is
    the whole image as it is.
    """
    for position in range(len(samples)):
        sample = to_square(task, samples[position], side)
        for number in range(settings.views_per_image or 0):
            rng = np.random.default_rng([seed, position, number])
            yield draw_view(task, sample, samples, position, settings.prompt_noise, rng, plain=number == 0)


def draw_view(
    task: Task,
    sample: Sample,
    samples: Sequence[Sample],
    position: int,
    noise: config.PromptNoise,
    rng: np.random.Generator,
    *,
    plain: bool,
) -> View:
    """A view of the square `sample`, which is the one at `position`; `plain` is the whole image as it is."""
    view, prompt, side = sample, sample.caption, sample.image.shape[0]
    if not plain:
        view = random_view(task, sample, rng)
        if len(samples) > 1 and rng.random() < MIX_SHARE:
            partner = (position + int(rng.integers(1, len(samples)))) % len(samples)
            other = random_view(task, to_square(task, samples[partner], side), rng)
            if mixed := mix(task, view, other, rng):
                view = mixed
                prompt = "; ".join(filter(None, (prompt, other.caption)))
    names = [category.noun for category in task.subjects]
    return View(image=view.image, prompt=vary_prompt(prompt, names, noise, rng), target=view.target)


def to_square(task: Task, sample: Sample, side: int) -> Sample:
    """A sample as the backbone takes it; see `squeeze`."""
    height, width = sample.image.shape[:2]
    if (height, width) == (side, side):
        return sample
    target = task.warp(sample.target, resize_matrix((height, width), (side, side)), (side, side))
    return _changed(sample, squeeze(sample.image, side), target)


def random_view(task: Task, sample: Sample, rng: np.random.Generator) -> Sample:
    """The square sample mirrored or not, zoomed, shifted and tinted.

    What zooming out uncovers is filled with mirror images of the picture *and of its annotation*, so that the
    view is labelled exactly all over.
    """
    side = sample.image.shape[0]
    zoom = float(np.exp(rng.uniform(*np.log(SCALES))))
    flip = -1.0 if rng.random() < 0.5 else 1.0
    shift = rng.uniform(-0.5, 0.5, size=2) * abs(zoom - 1) * side
    centre = (side - 1) / 2
    matrix = np.array(
        [
            [flip * zoom, 0.0, centre - flip * zoom * centre + shift[0]],
            [0.0, zoom, centre - zoom * centre + shift[1]],
        ]
    )
    image = cv2.warpAffine(sample.image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    mirrors = mirror_maps(side) if zoom < 1 else [IDENTITY]
    target = task.zoomed(sample.target, zoom)
    parts = [task.warp(target, compose(matrix, mirror), (side, side)) for mirror in mirrors]
    return _changed(sample, _tint(image, rng), task.merge(parts))


def mix(task: Task, first: Sample, second: Sample, rng: np.random.Generator) -> Sample | None:
    """Two square samples side by side, or objects of the second on top of the first; None without any."""
    if rng.random() < SPLICE_SHARE:
        return splice_two(task, first, second, rng)
    pasted = task.pasted(first.target, second.target, rng)
    if pasted is None:
        return None
    region, target = pasted
    return _changed(first, np.where(region[..., None], second.image, first.image), target)


def splice_two(task: Task, first: Sample, second: Sample, rng: np.random.Generator) -> Sample:
    """A part of each of two square samples side by side or one above the other, at true scale."""
    side = first.image.shape[0]
    cut = int(rng.uniform(0.3, 0.7) * side)
    image = first.image.copy()
    if rng.random() < 0.5:
        image[:, cut:] = second.image[:, cut:]
        windows = ((0, 0, side, cut), (0, cut, side, side))
    else:
        image[cut:] = second.image[cut:]
        windows = ((0, 0, cut, side), (cut, 0, side, side))
    parts = [
        _window(task, sample.target, window, side) for sample, window in zip((first, second), windows, strict=True)
    ]
    return _changed(first, image, task.merge(parts))


def _tint(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    brightness, contrast, saturation = 1 + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, size=3)
    values = image.astype(np.float32) * brightness
    values = (values - values.mean()) * contrast + values.mean()
    grey = values.mean(axis=2, keepdims=True)
    return ((values - grey) * saturation + grey).clip(0, 255).astype(np.uint8)


def _window(task: Task, target: Any, window: tuple[int, int, int, int], side: int) -> Any:
    """The annotation within (top, left, bottom, right), at its place, and nothing elsewhere."""
    top, left, bottom, right = window
    inward = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
    back = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    return task.warp(task.warp(target, inward, (bottom - top, right - left)), back, (side, side))


def _changed(sample: Sample, image: np.ndarray, target: Any) -> Sample:
    return Sample(name=sample.name, image=image, caption=sample.caption, target=target, image_id=sample.image_id)

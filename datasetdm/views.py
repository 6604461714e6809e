"""Augmented views of the labelled images: mirrored, zoomed, tinted, mixed, and their prompts varied."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import cv2
import numpy as np
import torch

from datasetdm import config
from datasetdm.diffusion.backbone import Backbone
from datasetdm.diffusion.words import occurrences
from datasetdm.structures import Sample
from datasetdm.tasks.base import Task

SCALES = (0.7, 1.4)  # how far a view zooms out and in
MIX_SHARE = 0.6  # of the views show parts of two images, where the task can paste
SPLICE_SHARE = 0.4  # of those show them side by side
COLOUR_JITTER = 0.25  # largest relative change of brightness, contrast and saturation
GENERIC_PROMPT = "a photo"

T = TypeVar("T")

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


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


def squeeze(image: np.ndarray, side: int) -> np.ndarray:
    """The whole image resized to `side` x `side`; nothing is cut off or padded, the proportions change instead."""
    return resized(image, (side, side))


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The image at (height, width), without aliasing where it shrinks."""
    if image.shape[:2] == size:
        return image
    shrinking = size[0] * size[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)


def resize_matrix(source: tuple[int, int], output: tuple[int, int]) -> np.ndarray:
    """The 2 x 3 map of a resize from (height, width) to (height, width); pixel centres lie on whole numbers."""
    scale_y, scale_x = output[0] / source[0], output[1] / source[1]
    return np.array([[scale_x, 0.0, (scale_x - 1) / 2], [0.0, scale_y, (scale_y - 1) / 2]])


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
    mirrors = _mirrors(side) if zoom < 1 else [IDENTITY]
    target = task.zoomed(sample.target, zoom)
    parts = [task.warp(target, _compose(matrix, mirror), (side, side)) for mirror in mirrors]
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


def vary_prompt(prompt: str, words: Sequence[str], noise: config.PromptNoise, rng: np.random.Generator) -> str:
    """The prompt as it is, or none, or a generic one, or with words left out or one word wrong.

    Else the decoder would read the labels off the text, and fail on images that do not follow their prompt.
    """
    kinds = np.cumsum([noise.empty, noise.generic, noise.drop_word, noise.wrong_word])
    kind = int(np.searchsorted(kinds, rng.random(), side="right"))
    if kind == 0:
        return ""
    if kind == 1:
        return GENERIC_PROMPT
    spans = dict(zip(words, occurrences(prompt, words), strict=True))
    named = [word for word in words if spans[word]]
    if kind == 2 and named:
        dropped = [word for word in named if rng.random() < 0.5] or [named[int(rng.integers(len(named)))]]
        left = _replaced(prompt, [span for word in dropped for span in spans[word]], "")
        return " ".join(left.split())
    others = [word for word in words if word not in named]
    if kind == 3 and named and others:
        wrong = others[int(rng.integers(len(others)))]
        return _replaced(prompt, spans[named[int(rng.integers(len(named)))]], wrong)
    return prompt


def _replaced(text: str, spans: Iterable[tuple[int, int]], other: str) -> str:
    """The text with the other word at each of the spans."""
    for start, stop in sorted(spans, reverse=True):
        text = text[:start] + other + text[stop:]
    return text


def _tint(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    brightness, contrast, saturation = 1 + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, size=3)
    values = image.astype(np.float32) * brightness
    values = (values - values.mean()) * contrast + values.mean()
    grey = values.mean(axis=2, keepdims=True)
    return ((values - grey) * saturation + grey).clip(0, 255).astype(np.uint8)


def _mirrors(side: int) -> list[np.ndarray]:
    """Maps of a picture to itself and to its eight mirrored neighbours, as in cv2.BORDER_REFLECT."""
    axis = ((1.0, 0.0), (-1.0, -1.0), (-1.0, 2.0 * side - 1.0))  # (factor, offset): itself, before, after
    return [np.array([[fx, 0.0, ox], [0.0, fy, oy]]) for fx, ox in axis for fy, oy in axis]


def _compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The 2 x 3 map that does `inner` first."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def _window(task: Task, target: Any, window: tuple[int, int, int, int], side: int) -> Any:
    """The annotation within (top, left, bottom, right), at its place, and nothing elsewhere."""
    top, left, bottom, right = window
    inward = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
    back = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    return task.warp(task.warp(target, inward, (bottom - top, right - left)), back, (side, side))


def _changed(sample: Sample, image: np.ndarray, target: Any) -> Sample:
    return Sample(name=sample.name, image=image, caption=sample.caption, target=target, image_id=sample.image_id)


def encode_images(backbone: Backbone, images: Sequence[np.ndarray]) -> torch.Tensor:
    """Latents of uint8 images that have the backbone's size."""
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return backbone.encode(stacked.to(backbone.device, torch.float32) / 127.5 - 1)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last possibly shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def derived_seed(*numbers: int) -> int:
    """A seed of its own for every tuple of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)

"""Augmented views of the labelled images: mirrored, zoomed, tinted and mixed, with varied prompts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from datasetdm import config
from datasetdm.annotations.annotation import A, Annotation, merge
from datasetdm.annotations.sample import Sample
from datasetdm.prompts.mentions import Word
from datasetdm.transforms.geometry import IDENTITY, compose, mirror_maps, resize_matrix, squeeze
from datasetdm.transforms.prompt_noise import vary_prompt

SCALES = (0.7, 1.4)  # how far a view zooms out and in
MIX_SHARE = 0.6  # of the views show parts of two images, if there is something to paste
SPLICE_SHARE = 0.4  # of those show the parts side by side
COLOUR_JITTER = 0.25  # largest relative change of brightness, contrast and saturation


@dataclass(frozen=True, kw_only=True)
class View:
    """A square picture with its prompt and annotation."""

    image: np.ndarray
    prompt: str
    target: Any


def augmented_views(
    samples: Sequence[Sample], settings: config.Decoder, side: int, seed: int, prompt_words: Mapping[int, Word]
) -> Iterator[View]:
    """`views_per_image` views of every sample in turn, `side` pixels square.

    A view depends only on the seed, the position of its sample and its own number. The first view of a sample is the
    whole image as it is.

    Args:
        samples: the labelled images.
        settings: number of views, and how the prompts vary.
        side: of the views, in pixels.
        seed: of all random choices.
        prompt_words: label of each category that a prompt may name -> its word. Only these are pasted.
    """
    for position in range(len(samples)):
        sample = to_square(samples[position], side)
        for number in range(settings.views_per_image or 0):
            rng = np.random.default_rng([seed, position, number])
            yield augmented_view(sample, samples, position, settings.prompt_noise, rng, prompt_words, plain=number == 0)


def augmented_view(
    sample: Sample,
    samples: Sequence[Sample],
    position: int,
    noise: config.PromptNoise,
    rng: np.random.Generator,
    prompt_words: Mapping[int, Word],
    *,
    plain: bool,
) -> View:
    """A view of the square `sample`, which is the one at `position`; `plain` leaves the image as it is."""
    view, prompt, side = sample, sample.caption, sample.image.shape[0]
    if not plain:
        view = randomly_placed(sample, rng)
        if len(samples) > 1 and rng.random() < MIX_SHARE:
            partner = (position + int(rng.integers(1, len(samples)))) % len(samples)
            other = randomly_placed(to_square(samples[partner], side), rng)
            if mixed := mix(view, other, prompt_words.keys(), rng):
                view = mixed
                prompt = "; ".join(filter(None, (prompt, other.caption)))
    words = list(prompt_words.values())
    return View(image=view.image, prompt=vary_prompt(prompt, words, noise, rng), target=view.target)


def to_square(sample: Sample, side: int) -> Sample:
    """A sample as the backbone takes it; see `squeeze`."""
    height, width = sample.image.shape[:2]
    if (height, width) == (side, side):
        return sample
    target = sample.target.warp(resize_matrix((height, width), (side, side)), (side, side))
    return _changed(sample, squeeze(sample.image, side), target)


def randomly_placed(sample: Sample, rng: np.random.Generator) -> Sample:
    """The square sample mirrored or not, zoomed, shifted and tinted.

    Zooming out uncovers a margin, which is filled with mirror images of the picture *and of its annotation*, so that
    every pixel of the view is labelled exactly.
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
    target = sample.target.zoomed(zoom)
    parts = [target.warp(compose(matrix, mirror), (side, side)) for mirror in mirrors]
    return _changed(sample, _tint(image, rng), merge(parts))


def mix(first: Sample, second: Sample, labels: Collection[int], rng: np.random.Generator) -> Sample | None:
    """Two square samples side by side, or objects of the second pasted over the first; None if there are none.

    Args:
        first: the sample whose name and caption stay.
        second: the other sample, of the same size.
        labels: the categories that may be pasted.
        rng: makes the choices.
    """
    if rng.random() < SPLICE_SHARE:
        return splice_two(first, second, rng)
    pasted = first.target.paste(second.target, labels, rng)
    if pasted is None:
        return None
    region, target = pasted
    return _changed(first, np.where(region[..., None], second.image, first.image), target)


def splice_two(first: Sample, second: Sample, rng: np.random.Generator) -> Sample:
    """A part of each of two square samples, side by side or one above the other, at their own scale."""
    side = first.image.shape[0]
    cut = int(rng.uniform(0.3, 0.7) * side)
    image = first.image.copy()
    if rng.random() < 0.5:
        image[:, cut:] = second.image[:, cut:]
        windows = ((0, 0, side, cut), (0, cut, side, side))
    else:
        image[cut:] = second.image[cut:]
        windows = ((0, 0, cut, side), (cut, 0, side, side))
    parts = [_window(sample.target, window, side) for sample, window in zip((first, second), windows, strict=True)]
    return _changed(first, image, merge(parts))


def _tint(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    brightness, contrast, saturation = 1 + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, size=3)
    values = image.astype(np.float32) * brightness
    values = (values - values.mean()) * contrast + values.mean()
    grey = values.mean(axis=2, keepdims=True)
    return ((values - grey) * saturation + grey).clip(0, 255).astype(np.uint8)


def _window(target: A, window: tuple[int, int, int, int], side: int) -> A:
    """The annotation within (top, left, bottom, right), at its place, and nothing elsewhere."""
    top, left, bottom, right = window
    inward = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
    back = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    return target.warp(inward, (bottom - top, right - left)).warp(back, (side, side))


def _changed(sample: Sample, image: np.ndarray, target: Annotation) -> Sample:
    return replace(sample, image=image, target=target)

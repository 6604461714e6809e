"""Which training images a set takes: dev apart from all others, few-shot sets that are balanced or keep a long tail.

Images of one drive, room or outfit look alike (`Split.group_of`). Dev shares no group with the other sets, or it would
not notice a decoder that knows the training images by heart.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from datasetdm import config
from datasetdm.datasets.split import Split
from datasetdm.errors import DatasetDMError

DEV_GROUPS = 5  # one in so many is held out for dev
_BLOCK = 1024  # images


def split_off_dev(train: Split, settings: config.Ingest, root: Path) -> tuple[list[int], list[int]]:
    """Dev images out of a fifth of the groups (of more where these have too few), and those of all other groups.

    Both in random order. If every image is its own group, dev is a random draw and nothing else is left out.

    Raises:
        DatasetDMError: too few images are left for the few-shot and oracle sets.
    """
    groups = [train.group_of(index) for index in range(len(train))]
    dev, rest = divide_groups(groups, settings.num_dev)
    if len(rest) < settings.num_real + settings.num_oracle:
        raise DatasetDMError(
            f"{root} has {len(train)} training images of {len(set(groups))} places, outfits or the like. Without those "
            f"of the {settings.num_dev} dev images, which must not be trained on, {len(rest)} images are left, but "
            f"{settings.num_real} + {settings.num_oracle} are asked for: lower `ingest.num_dev`, `num_real` or "
            "`num_oracle` in params.yaml, or add images of other places."
        )
    return dev, rest


def divide_groups(groups: Sequence[str], num_dev: int) -> tuple[list[int], list[int]]:
    """Positions of the dev images and of the images of all other groups, given the group of each image."""
    sizes = Counter(groups)
    names = list(sizes)
    shuffled = [names[number] for number in np.random.default_rng(0).permutation(len(names))]
    enough = int(np.searchsorted(np.cumsum([sizes[name] for name in shuffled]), num_dev)) + 1
    held_out = set(shuffled[: max(enough, len(names) // DEV_GROUPS)])
    order = np.random.default_rng(0).permutation(len(groups)).tolist()
    dev = [index for index in order if groups[index] in held_out][:num_dev]
    beside = {groups[index] for index in dev}
    return dev, [index for index in order if groups[index] not in beside]


def select(split: Split, count: int, *, seed: int, exclude: Collection[int] = ()) -> list[int]:
    """Choose images so that the categories are as evenly represented as possible; no image or mask is read.

    Greedy: of the category that has the fewest images so far and some left, take the image that shows the most
    categories with fewer images than the mean and the fewest with more. Images without objects are taken only when
    no others are left.

    Args:
        split: the images.
        count: how many to choose.
        seed: decides among equals.
        exclude: indices that are not to be taken.

    Returns:
        `count` indices into `split`, sorted.

    Raises:
        DatasetDMError: there are fewer images than `count`.
    """
    rng = np.random.default_rng(seed)
    excluded = set(exclude)
    # Shuffled, so that taking the first of several equals is a random choice.
    free = rng.permutation([index for index in range(len(split)) if index not in excluded])
    if count > len(free):
        raise DatasetDMError(
            f"{count} images are asked for, but {split.annotation_file} has only {len(free)} to choose from: "
            "lower `ingest.num_real` in params.yaml."
        )
    shows = np.zeros((len(free), len(split.categories)), dtype=bool)
    labels = [split.labels_of(index) for index in free.tolist()]
    shows[np.repeat(np.arange(len(free)), list(map(len, labels))), list(chain.from_iterable(labels))] = True
    rows_of = [np.flatnonzero(column) for column in shows.T]
    left = np.array([len(rows) for rows in rows_of])  # images of each category that are not taken yet
    taken = np.zeros(len(free), dtype=bool)
    images_of = np.zeros(len(split.categories), dtype=np.int64)
    for _ in range(count):
        if not left.any():
            break
        rarest = np.flatnonzero((left > 0) & (images_of == images_of[left > 0].min()))
        label = int(rng.choice(rarest))
        rows = rows_of[label][~taken[rows_of[label]]]
        # What an image shows counts for it below the mean and against it above.
        best = rows[np.argmin(_weighed(shows, rows, images_of - images_of.mean()))]
        taken[best] = True
        left -= shows[best]
        images_of += shows[best]
    taken[np.flatnonzero(~taken)[: count - int(taken.sum())]] = True
    return sorted(int(index) for index in free[taken])


def _weighed(shows: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """`shows[rows] @ weights`, float64, in blocks that stay in the processor's cache: a ninth of the time."""
    return np.concatenate([shows[rows[at : at + _BLOCK]] @ weights for at in range(0, len(rows), _BLOCK)])


def select_long_tail(
    split: Split, count: int, *, rare: Collection[int], rare_images: int, seed: int, exclude: Collection[int] = ()
) -> list[int]:
    """Choose images of which few show a rare category; arguments and errors as in `select`.

    Args:
        rare: labels of the rare categories.
        rare_images: how many of the images show each of them (one image may show several).
    """
    excluded = set(exclude)
    order = [int(index) for index in np.random.default_rng(seed).permutation(len(split)) if int(index) not in excluded]
    shown = {index: set(split.labels_of(index)) & set(rare) for index in order}
    chosen: list[int] = []
    for label in sorted(rare):
        candidates = [index for index in order if label in shown[index] and index not in chosen]
        missing = rare_images - sum(label in shown[index] for index in chosen)
        if missing > len(candidates):
            raise DatasetDMError(
                f"{split.annotation_file} has too few images of {split.categories[label].name!r} for "
                f"`ingest.tail_images` {rare_images}: lower it in params.yaml."
            )
        # Those that show no other rare category first, or the others would get more than their share.
        chosen += sorted(candidates, key=lambda index: len(shown[index]))[: max(missing, 0)]
    common = {index for index in order if not shown[index]}
    rest = select(split, max(count - len(chosen), 0), seed=seed, exclude=set(range(len(split))) - common)
    return sorted(chosen + rest)

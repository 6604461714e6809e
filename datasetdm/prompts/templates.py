"""Prompts from templates: counts, colours, places, light and weather over one or several categories.

The paper mixes lines of a language model with plain "a photo of a ..." (section 3.3, about 70 to 30). Here templates
replace the language model; the plain share is the paper's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.cooccurrence import CoOccurrence, Objects
from datasetdm.prompts.english import counted, listed
from datasetdm.prompts.scenes import ANYWHERE, LIGHTS, PEOPLE, SCENES, WEATHERS, Scene, colours_of, scenes_of

COLUMNS = ("id", "prompt", "categories", "kind")

_OPENINGS = ("a photo of ", "a picture of ", "an image of ", "")
_COLOUR_SHARE = 0.5
_LIGHT_SHARE = 0.3
_WEATHER_SHARE = 0.2
# With more kinds of things, colours would make the prompt longer than small text encoders can read.
_COLOURED_KINDS = 2


def choose_subjects(categories: Sequence[Category], settings: config.Prompts) -> tuple[Category, ...]:
    """What the prompts of a benchmark may name: the `subjects` of the settings, else the categories."""
    if not settings.subjects:
        return tuple(categories)
    return tuple(Category(id=number, name=name) for number, name in enumerate(settings.subjects, 1))


@dataclass(frozen=True, kw_only=True)
class _Sources:
    """What a template draws from.

    Attributes:
        categories: sorted by name.
        settings: of the prompts.
        together: what stands together in the labelled images; None: things of the same scene do.
        fits: whether the text encoder can read all of a text.
    """

    categories: Sequence[Category]
    settings: config.Prompts
    together: CoOccurrence | None
    fits: Callable[[str], bool]


def write_prompts(
    categories: Sequence[Category],
    settings: config.Prompts,
    images: Sequence[Objects] = (),
    fits: Callable[[str], bool] = lambda text: True,
) -> pd.DataFrame:
    """Prompts that name every category about equally often, at every length of the list.

    Args:
        categories: what may be drawn.
        settings: how many prompts, share of plain ones, objects in one prompt, companions, seed.
        images: the objects of the labelled images, for `companions: real`; without any, scenes decide.
        fits: whether the text encoder can read all of a text. A prompt that is too long loses its colours first, then
            light or weather, then the place. The objects always stay.

    Returns:
        One row per prompt: `id` (from 0), `prompt`, `categories` (names joined by ';'), `kind` ('plain' or
        'template'). The same arguments give the same rows, and fewer prompts are the start of more.
    """
    if not categories:
        raise DatasetDMError("There are no categories to write prompts for: check the data set's annotation file.")
    unknown = sorted(set(settings.scenes) - set(SCENES))
    if unknown:
        raise DatasetDMError(
            f"params.yaml: prompts.scenes has {', '.join(unknown)}, but known are {', '.join(SCENES)}."
        )
    # Sorted by name: two data sets with the same categories get the same prompts, and share the images.
    categories = sorted(categories, key=lambda category: category.name)
    real = settings.companions == "real" and any(images)
    together = CoOccurrence.learn(images, [category.name for category in categories]) if real else None
    sources = _Sources(categories=categories, settings=settings, together=together, fits=fits)
    rng = np.random.default_rng(settings.seed)
    named = np.zeros(len(categories), dtype=np.int64)
    rows = []
    for number in range(settings.num_candidates):
        plain = is_plain(number, settings)
        focus = _least_named(named, np.arange(len(categories)), rng)
        if plain:
            chosen, prompt = [focus], f"a photo of {counted(1, categories[focus].noun)}"
        else:
            chosen, prompt = _from_template(sources, focus, named, rng)
        named[chosen] += 1
        names = ";".join(categories[label].name for label in chosen)
        rows.append((number, prompt, names, "plain" if plain else "template"))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def is_plain(number: int, settings: config.Prompts) -> bool:
    """Whether a row is a plain prompt: these are spread evenly, so the share holds for any part of the list."""
    share = settings.plain_fraction
    return int((number + 1) * share) > int(number * share)


def _from_template(sources: _Sources, focus: int, named: np.ndarray, rng: np.random.Generator) -> tuple[list[int], str]:
    """Positions that are named and the prompt that names them."""
    categories = sources.categories
    if sources.together is None:
        scene, counts = _of_one_scene(sources, focus, named, rng)
    else:
        scene, counts = _seen_together(sources, sources.together, focus, rng)
    coloured = len(counts) <= _COLOURED_KINDS
    things = [
        (_thing(categories[label], count, coloured, rng), counted(count, categories[label].noun))
        for label, count in counts.items()
    ]
    rng.shuffle(things)
    opening, place, light = _pick(rng, _OPENINGS), _pick(rng, scene.places), ""
    chance = rng.random()
    if chance < _LIGHT_SHARE:
        light = _pick(rng, LIGHTS)
    elif chance < _LIGHT_SHARE + _WEATHER_SHARE and scene.outdoor:
        light = _pick(rng, WEATHERS)
    described, bare = (opening + listed(texts) for texts in zip(*things, strict=True))
    wordings = ((described, place, light), (bare, place, light), (bare, place), (bare,))  # ever shorter
    prompts = [" ".join(part for part in parts if part) for parts in wordings]
    return list(counts), next(filter(sources.fits, prompts), prompts[-1])


def _of_one_scene(
    sources: _Sources, focus: int, named: np.ndarray, rng: np.random.Generator
) -> tuple[Scene, dict[int, int]]:
    """A scene where the focus may be, and objects of it and of others that may be there: position -> count."""
    categories, settings = sources.categories, sources.settings
    homes = _allowed(list(scenes_of(categories[focus])), settings)
    home = str(rng.choice(homes)) if homes else None
    others = [
        label
        for label, category in enumerate(categories)
        if label != focus and (home in scenes_of(category) if home else not scenes_of(category))
    ]
    counts = _split(_total(settings, rng), len(others) + 1, rng)
    chosen = [focus]
    for _ in counts[1:]:
        free = np.array([label for label in others if label not in chosen])
        chosen.append(_least_named(named, free, rng))
    return SCENES[home] if home else ANYWHERE, dict(zip(chosen, counts, strict=True))


def _seen_together(
    sources: _Sources, together: CoOccurrence, focus: int, rng: np.random.Generator
) -> tuple[Scene, dict[int, int]]:
    """Objects as the labelled images show them with the focus, and a scene where all may be: position -> count."""
    counts = together.draw(focus, _total(sources.settings, rng), rng)
    known = [found for label in counts if (found := scenes_of(sources.categories[label]))]
    shared = [home for home in SCENES if known and all(home in found for found in known)]
    homes = _allowed(shared, sources.settings)
    return SCENES[str(rng.choice(homes))] if homes else ANYWHERE, counts


def _allowed(homes: list[str], settings: config.Prompts) -> list[str]:
    """Those of the scenes that the settings allow; all that they allow if none is left."""
    if not settings.scenes:
        return homes
    return [home for home in homes if home in settings.scenes] or list(settings.scenes)


def _total(settings: config.Prompts, rng: np.random.Generator) -> int:
    return int(rng.integers(settings.min_objects, settings.max_objects + 1))


def _thing(category: Category, count: int, coloured: bool, rng: np.random.Generator) -> str:
    """`two brown dogs`, `a person walking`."""
    described = coloured and rng.random() < _COLOUR_SHARE
    if category.name == "person":
        return counted(count, category.noun) + (f" {_pick(rng, PEOPLE)}" if described and count == 1 else "")
    colours = colours_of(category)
    return counted(count, category.noun, _pick(rng, colours) if described and colours else "")


def _split(total: int, most: int, rng: np.random.Generator) -> list[int]:
    """`total` objects as counts of 1 to `most` kinds, in random order; the number of kinds is uniform."""
    kinds = int(rng.integers(1, min(total, most) + 1))
    borders = np.sort(rng.choice(np.arange(1, total), size=kinds - 1, replace=False))
    return np.diff([0, *borders, total]).tolist()


def _least_named(named: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> int:
    """One of the labels that were named least, at random among equals."""
    least = labels[named[labels] == named[labels].min()]
    return int(rng.choice(least))


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]

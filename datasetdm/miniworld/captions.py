"""Captions in plain English, from about two hundred words.

A caption names the groups of the scene with their numbers and colours, the place, the light and the weather. Those of
benchmarks are exact: every group, every number. Those of `web` are as people write them: now and then a group, a number
or a colour is left out.
"""

import re
from collections import Counter

import numpy as np

from datasetdm.miniworld.catalog import THING_BY_NAME, THINGS
from datasetdm.miniworld.distributions import DISTRIBUTIONS
from datasetdm.miniworld.drawing.person import person_view
from datasetdm.miniworld.layout import Scene, SceneObject
from datasetdm.miniworld.palette import COLOURS

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}

PLACES: dict[str, tuple[str, ...]] = {
    "grass": ("on the grass", "in a field", "on a meadow", "in a park"),
    "road": ("on a road", "on the street", "by the road"),
    "sand": ("on the sand", "on the ground"),
    "beach": ("on the beach", "on the sand by the water", "by the sea"),
    "lake": ("by a lake", "on the grass by the water"),
    "snow": ("in the snow", "on snow", "in a winter field"),
    "floor": ("in a room", "on the floor of a room", "inside a room", "indoors"),
    "table": ("on a table", "on a wooden table", "on the table"),
}
_FAR = ("in front of mountains", "with mountains behind")
LIGHTS: dict[str, tuple[str, ...]] = {
    "day": ("", "", "during the day", "in daylight", "in the afternoon"),
    "dusk": ("at dusk", "at sunset", "in the evening"),
    "night": ("at night", "in the dark", "late at night"),
}
WEATHERS: dict[str, tuple[str, ...]] = {
    "clear": ("", "", "", "under a clear sky"),
    "rain": ("in the rain", "on a rainy day", "while it rains"),
    "fog": ("in the fog", "on a foggy day", "in thick fog"),
    "snow": ("while it snows", "in falling snow"),
}
_MEDIA: dict[str, tuple[str, ...]] = {
    "photo": ("", "", "", "a photo of ", "a picture of ", "an image of "),
    "drawing": ("a drawing of ", "a sketch of ", "a cartoon of "),
    "painting": ("a painting of ", "a painted picture of "),
}
_NOTHING = ("an empty scene", "a quiet place", "an empty place")
_MANY = ("several", "some", "a group of")
_SHIRT = ("in a {} shirt", "wearing {}", "dressed in {}")
_SHIRTS = ("in {} shirts", "wearing {}", "dressed in {}")
_VIEWS = {"front": "facing the camera", "back": "seen from behind", "side": "walking"}
_PATTERNS = (
    "{medium}{things} {place} {light} {weather}",
    "{medium}{things} {place} {weather} {light}",
    "{medium}{things} {place} {light}",
    "{medium}{things} {place}, {light} {weather}",
    "there {verb} {things} {place} {light} {weather}",
    "{light}, {things} {place} {weather}",
)


def write_captions(scene: Scene, rng: np.random.Generator, count: int = 5) -> list[str]:
    """`count` captions of the scene: lower case, words of `vocabulary()` and commas."""
    return [write_caption(scene, rng) for _ in range(count)]


def write_caption(scene: Scene, rng: np.random.Generator) -> str:
    """One caption of the scene: lower case, words of `vocabulary()` and commas."""
    omission = DISTRIBUTIONS[scene.distribution].omission
    groups = _groups(scene, rng)
    if len(groups) > 1 and rng.random() < omission:
        groups = groups[:-1]
    patterns = [pattern for pattern in _PATTERNS if scene.medium == "photo" or "{medium}" in pattern]
    indoor = scene.background.beyond == "wall"
    text = _pick(rng, tuple(patterns)).format(
        medium=_pick(rng, _MEDIA[scene.medium]),
        things=_join([_noun_phrase(group, rng, omission) for group in groups]) or _pick(rng, _NOTHING),
        verb="are" if groups and len(groups[0]) > 1 else "is",
        place=_place(scene, rng),
        light=_pick(rng, LIGHTS[scene.light]),
        weather="" if indoor else _pick(rng, WEATHERS[scene.weather]),
    )
    return re.sub(r" +", " ", text).replace(" ,", ",").strip(" ,")


def vocabulary() -> list[str]:
    """Every word a caption can contain, sorted."""
    texts = [*COLOURS, *NUMBERS.values(), *_NOTHING, *_PATTERNS, *_SHIRT, *_SHIRTS, *_MANY, *_FAR, *_VIEWS.values()]
    texts += [text for table in (PLACES, LIGHTS, WEATHERS, _MEDIA) for options in table.values() for text in options]
    texts += [name for category in THINGS for name in (category.name, category.plural)]
    texts += ["a", "an", "and", "are", "is"]
    return sorted({word for text in texts for word in re.findall(r"[a-z]+", re.sub(r"\{\w*\}", " ", text))})


def _groups(scene: Scene, rng: np.random.Generator) -> list[list[SceneObject]]:
    """The objects by category, in random order; two of different colours may count as two groups."""
    by_category: dict[str, list[SceneObject]] = {}
    for o in scene.objects:
        by_category.setdefault(o.category, []).append(o)
    groups: list[list[SceneObject]] = []
    for group in by_category.values():
        apart = len(group) == 2 and group[0].colour != group[1].colour and rng.random() < 0.4
        groups += [[o] for o in group] if apart else [group]
    return [groups[k] for k in rng.permutation(len(groups))]


def _noun_phrase(group: list[SceneObject], rng: np.random.Generator, omission: float) -> str:
    """ "a red car", "two dogs", "a person in a blue shirt walking"."""
    category = THING_BY_NAME[group[0].category]
    colours = Counter(o.colour for o in group)
    # All trees are green: their colour goes without saying.
    named = len(colours) == 1 and category.name != "tree" and rng.random() > 0.2 + omission
    colour = group[0].colour if named else ""
    suffix = ""
    if category.name == "person":
        suffix = _clothes(group, colour, rng)
        colour = ""
    if len(group) == 1:
        noun = f"{colour} {category.name}".strip()
        article = "one" if rng.random() < 0.1 else "an" if noun[0] in "aeiou" else "a"
        return f"{article} {noun} {suffix}".strip()
    number = _pick(rng, _MANY) if rng.random() < 0.6 * omission else NUMBERS[len(group)]
    return f"{number} {colour} {category.plural} {suffix}".strip()


def _clothes(group: list[SceneObject], colour: str, rng: np.random.Generator) -> str:
    shirts = _SHIRT if len(group) == 1 else _SHIRTS
    worn = _pick(rng, shirts).format(colour) if colour else ""
    view = _VIEWS[person_view(group[0])] if len(group) == 1 and rng.random() < 0.25 else ""
    return f"{worn} {view}"


def _place(scene: Scene, rng: np.random.Generator) -> str:
    """Where it is, with the mountains behind now and then; sometimes not said at all."""
    place = scene.background
    key = place.ground
    if place.path is not None:
        key = "road"
    elif place.beyond == "water":
        key = "beach" if place.ground == "sand" else "lake"
    where = "" if rng.random() < 0.08 else _pick(rng, PLACES[key])
    far = _pick(rng, _FAR) if place.mountains and rng.random() < 0.3 else ""
    return f"{where} {far}"


def _join(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + "".join(parts[-1:])


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]

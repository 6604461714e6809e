"""The statistics of the worlds and of their splits.

`web` is what the diffusion model is pretrained on: every category, every medium, a wide range of cameras and colours.
The others are benchmarks, drawn by the same renderer, photographs only, with calmer colours. `coco` has fewer
categories, lower and longer cameras and smaller objects. `long_tail` has the same categories, some of them very rare.
`street` is traffic on roads, `room` furnished rooms, `figure` one person each, whole and close.

Held out between splits (`draw_style`): the two shape numbers of an object lie in a 5 x 5 grid of cells, and so do its
two texture numbers. Along each diagonal of a grid runs one class of cells; one class belongs to dev, one to test,
three to train. So every single value of a shape or texture number occurs in every split, but no combination of test
(or dev) occurs in train, nor in `web`, which draws from the cells of train alone. The exports write train and test; a
benchmark's dev set comes out of its training images, as with real data.
"""

from dataclasses import dataclass, replace

import numpy as np

SPLITS = ("train", "dev", "test")
_CELLS = 5
_CLASSES = {"train": (1, 2, 4), "dev": (3,), "test": (0,)}


@dataclass(frozen=True)
class Habit:
    """Where and how a thing category occurs.

    height: range in metres. half_width: of the drawing, in units of its height. colours: names with equal weight.
    settings: where it may stand. flight: range of metres above the ground, or None where it stands. surface: "land"
    or "water".
    """

    height: tuple[float, float]
    half_width: float
    colours: tuple[str, ...]
    settings: tuple[str, ...]
    flight: tuple[float, float] | None = None
    surface: str = "land"


_ANY = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black", "white", "teal")
_OPEN = ("meadow", "beach", "street", "winter")
_TABLE = ("tabletop",)

HABITS: dict[str, Habit] = {
    "person": Habit(
        (1.5, 1.9),
        0.26,
        ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "teal"),
        (*_OPEN, "room"),
    ),
    "car": Habit(
        (1.35, 1.7),
        1.15,
        ("red", "orange", "yellow", "green", "blue", "black", "white", "gray", "teal"),
        ("street", "winter"),
    ),
    "airplane": Habit(
        (2.4, 3.4),
        1.2,
        ("white", "gray", "red", "blue", "yellow"),
        ("meadow", "beach", "winter", "street"),
        (5.0, 14.0),
    ),
    "bus": Habit((2.7, 3.2), 1.05, ("red", "yellow", "green", "blue", "orange", "white"), ("street",)),
    "boat": Habit(
        (2.2, 3.8), 0.6, ("red", "blue", "green", "brown", "black", "white", "orange"), ("beach",), None, "water"
    ),
    "traffic light": Habit((2.4, 3.2), 0.13, ("red", "yellow", "green"), ("street",)),
    "bird": Habit((0.3, 0.5), 0.6, ("blue", "red", "yellow", "brown", "black", "white", "gray", "green"), _OPEN),
    "dog": Habit((0.55, 0.85), 0.62, ("brown", "black", "white", "gray", "orange"), (*_OPEN, "room")),
    "horse": Habit((1.7, 2.1), 0.62, ("brown", "black", "white", "gray"), ("meadow", "beach", "winter")),
    "sheep": Habit((0.8, 1.0), 0.68, ("white", "gray", "black"), ("meadow", "winter")),
    "elephant": Habit((2.4, 3.2), 0.66, ("gray", "brown"), ("meadow", "beach")),
    "giraffe": Habit((3.8, 5.0), 0.34, ("yellow", "orange"), ("meadow",)),
    "umbrella": Habit((1.9, 2.4), 0.55, _ANY, ("beach", "meadow", "street")),
    "kite": Habit((1.1, 1.7), 0.34, _ANY, ("meadow", "beach", "winter"), (1.0, 6.0)),
    "bottle": Habit((0.22, 0.3), 0.18, ("green", "blue", "brown", "red", "white", "teal", "purple"), _TABLE),
    "cup": Habit((0.1, 0.14), 0.6, _ANY, _TABLE),
    "banana": Habit((0.1, 0.14), 0.98, ("yellow", "green"), _TABLE),
    "apple": Habit((0.09, 0.12), 0.48, ("red", "green", "yellow"), _TABLE),
    "chair": Habit(
        (0.9, 1.1), 0.32, ("brown", "red", "white", "black", "blue", "yellow", "green"), ("room", "beach", "meadow")
    ),
    "potted plant": Habit((0.6, 1.0), 0.42, ("brown", "white", "orange", "blue", "red", "gray"), ("room",)),
    "clock": Habit(
        (0.2, 0.28), 0.5, ("red", "blue", "black", "brown", "green", "yellow", "purple"), ("room", "tabletop")
    ),
    "tree": Habit((3.2, 5.5), 0.36, ("green",), ("meadow", "street", "winter")),
    "house": Habit(
        (3.8, 5.2), 0.68, ("white", "yellow", "red", "blue", "gray", "pink", "brown"), ("meadow", "street", "winter")
    ),
    "lamp": Habit((1.2, 1.6), 0.3, ("yellow", "white", "red", "green", "blue", "orange", "pink"), ("room",)),
    "mushroom": Habit((0.12, 0.2), 0.55, ("red", "brown", "orange", "white", "purple"), ("meadow", "tabletop")),
    "ball": Habit((0.25, 0.4), 0.5, _ANY, (*_OPEN, "room")),
}


@dataclass(frozen=True)
class Setting:
    """A kind of place: its grounds, whether it has a sky, ranges of camera height (m) and pitch (radians)."""

    grounds: tuple[tuple[str, str], ...]
    outdoor: bool
    camera_height: tuple[float, float]
    pitch: tuple[float, float]
    border: tuple[float, float]


SETTINGS: dict[str, Setting] = {
    "meadow": Setting((("grass", "grass"),), True, (0.5, 1.9), (-0.04, 0.14), (80.0, 80.0)),
    "street": Setting(
        (("grass", "grass"), ("sand", "sand"), ("road", "road")), True, (0.8, 2.6), (-0.02, 0.16), (80.0, 80.0)
    ),
    "beach": Setting((("sand", "water"), ("grass", "water")), True, (0.7, 2.2), (0.0, 0.14), (6.0, 14.0)),
    "winter": Setting((("snow", "snow"),), True, (0.6, 2.0), (-0.02, 0.14), (80.0, 80.0)),
    "room": Setting((("floor", "wall"),), False, (0.45, 1.6), (0.02, 0.2), (4.0, 6.5)),
    "tabletop": Setting((("table", "wall"),), False, (0.16, 0.4), (0.1, 0.4), (0.9, 1.4)),
}


@dataclass(frozen=True)
class Distribution:
    """What differs between the worlds.

    categories: names that occur. media: (name, weight). focal: range in image widths. side: median and log spread of
    the objects' size (root of the area of the box, in image widths). groups: weights of 1, 2, 3 groups of objects.
    repeats: weights of 1, 2, 3, 4 objects in a group. empty: share of scenes without objects. low: factor on camera
    heights. colour_jitter, saturation, contrast: strength and ranges. lights, weathers: (name, weight). omission:
    chance that a caption leaves out a group, a count or an attribute.
    """

    name: str
    categories: tuple[str, ...]
    media: tuple[tuple[str, float], ...]
    focal: tuple[float, float]
    side: tuple[float, float]
    groups: tuple[float, ...]
    repeats: tuple[float, ...]
    empty: float
    low: float
    colour_jitter: float
    saturation: tuple[float, float]
    contrast: tuple[float, float]
    lights: tuple[tuple[str, float], ...]
    weathers: tuple[tuple[str, float], ...]
    omission: float
    settings: tuple[str, ...] = tuple(SETTINGS)
    frequencies: tuple[float, ...] | None = None
    traffic: bool = False
    whole: bool = False


_WEB_ONLY = ("giraffe", "mushroom", "lamp", "airplane")

#: The categories of `coco`, those that are frequent in `long_tail` first: every setting has common and rare ones.
_BY_FREQUENCY = (
    "person", "tree", "chair", "bottle", "car", "bird", "cup", "house", "dog", "apple", "umbrella", "ball",
    "traffic light", "potted plant", "boat", "sheep", "banana", "horse", "clock", "bus", "kite", "elephant",
)  # fmt: skip
#: Exponent of Zipf's law. The most frequent category is in two images of three, the rarest in about three of a
#: thousand.
_SKEW = 1.5

_WEB = Distribution(
    name="web",
    categories=tuple(HABITS),
    media=(("photo", 0.9), ("drawing", 0.05), ("painting", 0.05)),
    focal=(0.8, 1.6),
    side=(0.38, 0.37),
    groups=(0.42, 0.38, 0.2),
    repeats=(0.7, 0.2, 0.07, 0.03),
    empty=0.02,
    low=1.0,
    colour_jitter=0.16,
    saturation=(0.75, 1.25),
    contrast=(0.85, 1.12),
    lights=(("day", 0.64), ("dusk", 0.2), ("night", 0.16)),
    weathers=(("clear", 0.7), ("rain", 0.1), ("fog", 0.1), ("snow", 0.1)),
    omission=0.1,
)

_COCO = Distribution(
    name="coco",
    categories=tuple(name for name in HABITS if name not in _WEB_ONLY),
    media=(("photo", 1.0),),
    focal=(1.0, 1.4),
    side=(0.32, 0.34),
    groups=(0.3, 0.45, 0.25),
    repeats=(0.66, 0.22, 0.08, 0.04),
    empty=0.03,
    low=0.85,
    colour_jitter=0.1,
    saturation=(0.7, 0.95),
    contrast=(0.82, 1.0),
    lights=(("day", 0.74), ("dusk", 0.16), ("night", 0.1)),
    weathers=(("clear", 0.76), ("rain", 0.09), ("fog", 0.08), ("snow", 0.07)),
    omission=0.0,
)

DISTRIBUTIONS: dict[str, Distribution] = {
    world.name: world
    for world in (
        _WEB,
        _COCO,
        replace(
            _COCO,
            name="long_tail",
            categories=_BY_FREQUENCY,
            frequencies=tuple((1 + rank) ** -_SKEW for rank in range(len(_BY_FREQUENCY))),
        ),
        replace(
            _COCO,
            name="street",
            categories=("person", "car", "bus", "traffic light", "tree", "house"),
            settings=("street",),
            traffic=True,
            side=(0.29, 0.4),
            groups=(0.1, 0.3, 0.6),
            repeats=(0.5, 0.28, 0.14, 0.08),
            low=1.0,
            lights=(("day", 0.84), ("dusk", 0.16)),
            weathers=(("clear", 0.8), ("rain", 0.1), ("fog", 0.1)),
        ),
        replace(
            _COCO,
            name="room",
            categories=("person", "dog", "chair", "potted plant", "clock", "lamp", "ball"),
            settings=("room",),
            side=(0.3, 0.34),
            groups=(0.1, 0.35, 0.55),
            repeats=(0.62, 0.24, 0.1, 0.04),
        ),
        replace(
            _COCO,
            name="figure",
            categories=("person",),
            settings=("room",),
            whole=True,
            side=(0.57, 0.06),
            groups=(1.0,),
            repeats=(1.0,),
            empty=0.0,
            lights=(("day", 0.9), ("dusk", 0.1)),
        ),
    )
}


def draw_style(rng: np.random.Generator, split: str) -> tuple[float, ...]:
    """Eight numbers in [0, 1); (0, 1) and (2, 3) lie in cells of their grids that belong to `split`."""
    return (*_pair(rng, split), *_pair(rng, split), *(float(value) for value in rng.random(4)))


def style_splits(style: tuple[float, ...]) -> tuple[str, str]:
    """The splits to which the shape and the texture of a style belong."""
    return _split_of(style[0], style[1]), _split_of(style[2], style[3])


def _pair(rng: np.random.Generator, split: str) -> tuple[float, float]:
    classes = _CLASSES[split]
    column, diagonal = int(rng.integers(_CELLS)), classes[int(rng.integers(len(classes)))]
    # row such that (column + 2 row) mod 5 is the diagonal's class: 3 is the inverse of 2 modulo 5.
    row = 3 * (diagonal - column) % _CELLS
    inside = rng.random(2)
    return float((column + inside[0]) / _CELLS), float((row + inside[1]) / _CELLS)


def _split_of(first: float, second: float) -> str:
    diagonal = (int(first * _CELLS) + 2 * int(second * _CELLS)) % _CELLS
    return next(split for split in SPLITS if diagonal in _CLASSES[split])

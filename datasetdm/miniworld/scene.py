"""Sampling of scenes: which place, which objects, where they stand and what they look like."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.distributions import DISTRIBUTIONS, HABITS, SETTINGS, SPLITS, Distribution, Habit, draw_style
from datasetdm.miniworld.layout import Background, Camera, Scene, SceneObject
from datasetdm.miniworld.palette import COLOURS, Colour, jitter
from datasetdm.miniworld.rendering import visible_areas

#: Left, top, right, bottom in image coordinates.
Box = tuple[float, float, float, float]

#: Objects with fewer visible pixels than this in the 128-pixel rendering are taken out of the scene.
MIN_VISIBLE_AREA = 36
MAX_OBJECTS = 6

_WALLS: tuple[Colour, ...] = (
    (214.0, 204.0, 184.0),
    (176.0, 198.0, 206.0),
    (190.0, 204.0, 172.0),
    (220.0, 190.0, 176.0),
    (206.0, 206.0, 210.0),
    (150.0, 164.0, 190.0),
)


def sample_scene(rng: np.random.Generator, distribution: str = "web", split: str = "train") -> Scene:
    """Draws a scene; every object in it is visible in its rendering.

    Args:
        rng: source of all randomness.
        distribution: a key of `DISTRIBUTIONS`.
        split: "train", "dev" or "test": which part of the style space the objects come from.

    Raises:
        DatasetDMError: for an unknown distribution or split.
    """
    if distribution not in DISTRIBUTIONS:
        raise DatasetDMError(
            f"unknown miniworld distribution {distribution!r}; it is one of {', '.join(DISTRIBUTIONS)}."
        )
    if split not in SPLITS:
        raise DatasetDMError(f"unknown split {split!r} of the miniworld; it is one of {', '.join(SPLITS)}.")
    world = DISTRIBUTIONS[distribution]
    main = _main_category(rng, world)
    kind = str(rng.choice([name for name in HABITS[main].settings if name in world.settings]))
    if rng.random() < world.empty:
        return _empty_scene(rng, world, kind, main)
    scene, boxes, first = _scene_around(rng, world, kind, main, split)
    objects = [first]
    for category, count in _groups(rng, world, kind, main):
        tint = first.colour if category == main else str(rng.choice(HABITS[category].colours))
        for _ in range(count - (category == main)):
            colour = tint if rng.random() < 0.7 else str(rng.choice(HABITS[category].colours))
            placed = _place(rng, scene, world, category, colour, split, boxes)
            if placed is not None and len(objects) < MAX_OBJECTS:
                objects.append(placed)
    objects.sort(key=lambda o: -scene.camera.depth(o.elevation, o.z))
    scene = dataclasses.replace(scene, objects=tuple(objects))
    # Taking an object out only uncovers others, so one pass is enough.
    seen = visible_areas(scene)
    kept = tuple(o for o, area in zip(objects, seen, strict=True) if area >= MIN_VISIBLE_AREA)
    return dataclasses.replace(scene, objects=kept)


def _scene_around(
    rng: np.random.Generator, world: Distribution, kind: str, main: str, split: str
) -> tuple[Scene, list[Box], SceneObject]:
    """A place and a camera that have room for a `main` object, its box and the object."""
    while True:
        scene = _empty_scene(rng, world, kind, main)
        boxes: list[Box] = []
        colour = str(rng.choice(HABITS[main].colours))
        first = _place(rng, scene, world, main, colour, split, boxes)
        if first is not None:
            return scene, boxes, first


def _empty_scene(rng: np.random.Generator, world: Distribution, kind: str, main: str) -> Scene:
    setting = SETTINGS[kind]
    # Traffic wants a road with something beside it.
    grounds = [pair for pair in setting.grounds if not (world.traffic and pair[0] == "road")]
    ground, beyond = grounds[int(rng.integers(len(grounds)))]
    # A small thing is looked at from low down, a tall one from higher up.
    tall = HABITS[main].height[1] * _EDITION.get((kind, main), 1.0)
    low = min(setting.camera_height[0], 0.9 * tall)
    high = max(1.25 * low, min(1.1 * tall, setting.camera_height[1]))
    camera = Camera(
        height=float(rng.uniform(low, high) * world.low),
        pitch=float(rng.uniform(*setting.pitch)),
        focal=float(rng.uniform(*world.focal)),
    )
    path = None
    if kind == "street" and ground != "road":
        path = (float(rng.uniform(-2, 2)), float(rng.uniform(-0.35, 0.35)), float(rng.uniform(1.8, 3.2)))
    return Scene(
        distribution=world.name,
        camera=camera,
        background=Background(
            kind=kind,
            ground=ground,
            beyond=beyond,
            border=float(rng.uniform(*setting.border)),
            path=path,
            variation=tuple(float(value) for value in rng.random(8)),
            rgb=jitter(_WALLS[int(rng.integers(len(_WALLS)))], rng, 0.08),
        ),
        light=_pick(rng, world.lights),
        weather=_pick(rng, world.weathers) if setting.outdoor else "clear",
        medium=_pick(rng, world.media),
        saturation=float(rng.uniform(*world.saturation)),
        contrast=float(rng.uniform(*world.contrast)),
        sun=float(rng.random()),
        objects=(),
    )


def _pick(rng: np.random.Generator, table: tuple[tuple[str, float], ...]) -> str:
    weights = np.array([weight for _, weight in table])
    return table[int(rng.choice(len(table), p=weights / weights.sum()))][0]


def _groups(rng: np.random.Generator, world: Distribution, kind: str, main: str) -> list[tuple[str, int]]:
    """(category, count) of each group; the first is the main one."""
    others = [name for name in world.categories if kind in HABITS[name].settings and name != main]
    number = 1 + int(rng.choice(len(world.groups), p=world.groups))
    if world.frequencies is None:
        chosen = rng.permutation(others)[: number - 1]
    else:
        chosen = rng.choice(others, min(number - 1, len(others)), replace=False, p=_shares(world, others))
    names = [main, *(str(name) for name in chosen)]
    return [(name, 1 + int(rng.choice(len(world.repeats), p=world.repeats))) for name in names]


def _main_category(rng: np.random.Generator, world: Distribution) -> str:
    """What the scene is built around."""
    if world.frequencies is None:
        return world.categories[int(rng.integers(len(world.categories)))]
    return str(rng.choice(world.categories, p=_shares(world, world.categories)))


def _shares(world: Distribution, names: Sequence[str]) -> NDArray[np.float64]:
    """Chances of the named categories, in proportion to their frequencies; they sum to 1."""
    table = dict(zip(world.categories, world.frequencies or (), strict=True))
    weights = np.array([table[name] for name in names])
    return weights / weights.sum()


def _place(
    rng: np.random.Generator,
    scene: Scene,
    world: Distribution,
    category: str,
    colour: str,
    split: str,
    boxes: list[Box],
) -> SceneObject | None:
    """One object that fits the picture, its box added to `boxes`; None if a few trials found no room."""
    habit, camera = HABITS[category], scene.camera
    metres = float(rng.uniform(*habit.height)) * _EDITION.get((scene.background.kind, category), 1.0)
    for _ in range(12):
        side = float(np.clip(world.side[0] * math.exp(world.side[1] * rng.standard_normal()), 0.13, 0.62))
        tall = min(side / math.sqrt(2 * habit.half_width), 0.85)
        depth = camera.focal * metres / tall
        spot = _spot(rng, scene, habit, category, metres, depth)
        if spot is None:
            continue
        x, elevation, z = spot
        if world.traffic and not _obeys_traffic(scene, category, metres, x, z):
            continue
        u, v = camera.project(x, elevation, z)
        tall = camera.focal * metres / camera.depth(elevation, z)
        half = tall * habit.half_width
        box = (u - half, v - tall, u + half, v)
        if v > 1.03 or box[1] < -0.06 or _crowded(box, boxes):
            continue
        if world.whole and not _inside(u, v, tall, half):
            continue
        boxes.append(box)
        return SceneObject(
            category=category,
            x=x,
            z=z,
            elevation=elevation,
            height=metres,
            style=draw_style(rng, split),
            pose=tuple(float(value) for value in rng.random(8)),
            flip=category not in _UPRIGHT_ONLY and bool(rng.random() < 0.5),
            tilt=float(rng.normal(0, _TILT.get(category, 0.0))),
            colour=colour,
            rgb=_tint(rng, category, colour, world),
            accent=_accent(rng, category, colour, world),
        )
    return None


#: The clock on the wall of a room is a larger edition of the one that stands on a table.
_EDITION = {("room", "clock"): 3.6}
#: Drawn as they are: persons turn by their pose.
_UPRIGHT_ONLY = {"person", "clock", "traffic light"}
#: Standard deviation of the tilt in radians.
_TILT = {"kite": 0.35, "airplane": 0.16, "bird": 0.06, "umbrella": 0.1, "apple": 0.08, "banana": 0.12, "ball": 0.3}


def _spot(
    rng: np.random.Generator, scene: Scene, habit: Habit, category: str, metres: float, depth: float
) -> tuple[float, float, float] | None:
    """(x, elevation, z) in metres for an object at this depth, or None where it cannot be."""
    camera, place = scene.camera, scene.background
    # Most things are whole, some are cut off by the border.
    margin = min(0.45, 0.8 * habit.half_width * camera.focal * metres / depth + 0.02)
    u = float(rng.uniform(margin, 1 - margin)) if rng.random() < 0.85 else float(rng.uniform(0.02, 0.98))
    if category == "clock" and place.kind == "room":
        # Hangs on the wall.
        z = place.border - 0.02
        elevation = float(rng.uniform(0.9, 1.9))
    elif habit.flight is not None or (category == "bird" and rng.random() < 0.45):
        tall = camera.focal * metres / depth
        v = float(rng.uniform(tall, max(tall + 0.1, min(camera.horizon, 0.6))))
        down = (v - 0.5) / camera.focal
        z = depth * (math.cos(camera.pitch) - down * math.sin(camera.pitch))
        elevation = camera.height - depth * (down * math.cos(camera.pitch) + math.sin(camera.pitch))
        if elevation < 0.3:
            return None
    else:
        elevation = 0.0
        z = (depth - camera.height * math.sin(camera.pitch)) / math.cos(camera.pitch)
    limit = place.border if place.beyond == "wall" else 70.0
    if not 0.05 < z < limit:
        return None
    if elevation == 0.0 and place.beyond == "water":
        shore = z > place.border * 1.15 if habit.surface == "water" else z < place.border * 0.9
        if not shore:
            return None
    return (u - 0.5) / camera.focal * camera.depth(elevation, z), elevation, z


#: What stands beside the road, and the half width of its foot in units of its height.
_ROADSIDE = {"tree": 0.1, "traffic light": 0.1, "house": 0.68}
_VEHICLES = {"car", "bus"}


def _obeys_traffic(scene: Scene, category: str, metres: float, x: float, z: float) -> bool:
    """Whether a vehicle is on the road and a standing thing beside it; persons may be anywhere."""
    if scene.background.path is None:
        return True
    start, drift, half = scene.background.path
    offset = abs(x - (start + drift * z))
    if category in _VEHICLES:
        return offset < 0.8 * half
    return category not in _ROADSIDE or offset > half + _ROADSIDE[category] * metres


def _inside(u: float, v: float, tall: float, half: float) -> bool:
    """Whether the whole figure is in the image, with arms that may reach beyond its nominal size."""
    reach = 2 * half
    return u - reach > 0 and u + reach < 1 and v - 1.15 * tall > 0 and v < 0.98


def _crowded(box: Box, others: list[Box]) -> bool:
    """Whether the box covers more than a third of another one, or is covered so."""
    for other in others:
        width = min(box[2], other[2]) - max(box[0], other[0])
        height = min(box[3], other[3]) - max(box[1], other[1])
        if width > 0 and height > 0:
            smaller = min((box[2] - box[0]) * (box[3] - box[1]), (other[2] - other[0]) * (other[3] - other[1]))
            if width * height > 0.33 * smaller:
                return True
    return False


def _tint(rng: np.random.Generator, category: str, colour: str, world: Distribution) -> Colour:
    base = _NATURAL.get((category, colour), COLOURS[colour])
    return jitter(base, rng, world.colour_jitter)


def _accent(rng: np.random.Generator, category: str, colour: str, world: Distribution) -> Colour:
    """A second colour that differs from the first."""
    names = [name for name in _ACCENTS.get(category, tuple(COLOURS)) if name != colour]
    return jitter(COLOURS[str(rng.choice(names))], rng, world.colour_jitter)


#: What a colour name means on an animal or a fruit, where it is not the paint of that name.
_NATURAL: dict[tuple[str, str], Colour] = {
    ("dog", "orange"): (206.0, 140.0, 70.0),
    ("dog", "brown"): (140.0, 92.0, 56.0),
    ("horse", "brown"): (134.0, 78.0, 42.0),
    ("sheep", "white"): (238.0, 234.0, 222.0),
    ("sheep", "black"): (70.0, 64.0, 62.0),
    ("elephant", "gray"): (142.0, 144.0, 152.0),
    ("elephant", "brown"): (140.0, 116.0, 98.0),
    ("giraffe", "yellow"): (232.0, 192.0, 112.0),
    ("giraffe", "orange"): (226.0, 164.0, 92.0),
    ("banana", "green"): (168.0, 190.0, 64.0),
    ("apple", "green"): (140.0, 184.0, 62.0),
    ("potted plant", "brown"): (172.0, 96.0, 60.0),
    ("tree", "green"): (58.0, 128.0, 58.0),
    ("house", "white"): (234.0, 228.0, 214.0),
    ("house", "red"): (186.0, 84.0, 70.0),
    ("house", "blue"): (122.0, 162.0, 200.0),
    ("house", "yellow"): (236.0, 208.0, 132.0),
    ("house", "pink"): (232.0, 172.0, 168.0),
    ("house", "brown"): (156.0, 116.0, 84.0),
}
_ACCENTS: dict[str, tuple[str, ...]] = {
    "person": ("blue", "black", "gray", "brown", "white", "green"),
    "house": ("red", "brown", "gray", "black", "orange"),
    "tree": ("red", "orange", "yellow"),
    "ball": ("white", "yellow", "black", "red", "blue"),
    "airplane": ("red", "blue", "orange", "green", "yellow"),
    "cup": ("white", "black", "red", "yellow", "blue"),
}

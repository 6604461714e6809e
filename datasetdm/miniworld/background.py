"""Paints what lies behind the objects: ground in perspective, sky or wall, with its stuff labels and depth."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from datasetdm.miniworld.catalog import STUFF_INDEX
from datasetdm.miniworld.layout import MAX_DEPTH, Background, Scene
from datasetdm.miniworld.palette import Colour, mix

#: Tones of the grounds, interpolated by the scene's variation.
_TONES: dict[str, tuple[Colour, Colour]] = {
    "grass": ((96.0, 158.0, 62.0), (142.0, 168.0, 84.0)),
    "road": ((112.0, 112.0, 118.0), (136.0, 132.0, 128.0)),
    "sand": ((226.0, 200.0, 146.0), (208.0, 182.0, 132.0)),
    "water": ((50.0, 122.0, 178.0), (52.0, 150.0, 168.0)),
    "snow": ((238.0, 242.0, 248.0), (224.0, 232.0, 242.0)),
    "floor": ((176.0, 128.0, 84.0), (196.0, 180.0, 160.0)),
    "table": ((156.0, 104.0, 62.0), (206.0, 172.0, 124.0)),
    "mountain": ((112.0, 124.0, 146.0), (126.0, 130.0, 118.0)),
}
_SKY: dict[str, tuple[Colour, Colour]] = {
    "day": ((84.0, 152.0, 226.0), (196.0, 224.0, 244.0)),
    "dusk": ((98.0, 92.0, 160.0), (255.0, 176.0, 112.0)),
    "night": ((14.0, 18.0, 46.0), (44.0, 52.0, 92.0)),
}
_OVERCAST: Colour = (186.0, 192.0, 200.0)


@dataclass(frozen=True)
class Backdrop:
    """colours: H x W x 3 float32, 0-255. stuff: H x W uint8, positions in `STUFF`. depth: H x W float32 metres, 0 in
    the sky. lit: H x W bool, what the light of the scene falls on (the sky has its own)."""

    colours: NDArray[np.float32]
    stuff: NDArray[np.uint8]
    depth: NDArray[np.float32]
    lit: NDArray[np.bool_]


def paint_background(scene: Scene, size: int) -> Backdrop:
    """The scene without its objects at size x size pixels."""
    camera, place = scene.camera, scene.background
    centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
    slope = (centres - 0.5) / camera.focal
    down = np.cos(camera.pitch) * slope + np.sin(camera.pitch)
    forward = np.cos(camera.pitch) - np.sin(camera.pitch) * slope
    with np.errstate(divide="ignore"):
        depth_row = np.where(down > 1e-4, camera.height / np.maximum(down, 1e-4), np.inf).astype(np.float32)
    z = depth_row * forward
    outdoor = place.beyond != "wall"
    limit = np.float32(MAX_DEPTH if outdoor else place.border)
    on_ground = z < limit
    z = np.where(on_ground, z, limit)
    depth = np.repeat(np.where(on_ground, depth_row, limit / forward)[:, None], size, 1).astype(np.float32)
    x = (centres[None, :] - 0.5) / camera.focal * depth
    ground = np.repeat(on_ground[:, None], size, 1)
    zz = np.repeat(z[:, None], size, 1)

    stuff = np.full((size, size), STUFF_INDEX["sky" if outdoor else "wall"], np.uint8)
    colours = np.empty((size, size, 3), np.float32)
    if outdoor:
        colours[:] = _sky(scene, centres, camera.horizon)
        depth[~ground] = 0
        _mountains(scene, centres, colours, stuff, depth, ground)
    else:
        colours[:] = _wall(place, x, camera.height - depth * down[:, None])
    first = int(np.argmax(on_ground)) if on_ground.any() else size
    rows = slice(first, size)
    _ground(scene, zz[rows], x[rows], colours[rows], stuff[rows])
    return Backdrop(colours, stuff, depth, stuff != STUFF_INDEX["sky"])


@lru_cache(maxsize=1)
def _noise() -> NDArray[np.float32]:
    """A 256 x 256 tile of smooth periodic noise, mean 0, about -1 to 1."""
    rng = np.random.default_rng(7)
    total = np.zeros((256, 256), np.float32)
    for cells, weight in ((4, 0.5), (8, 0.5), (16, 0.35), (32, 0.2)):
        coarse = np.pad(rng.standard_normal((cells, cells)).astype(np.float32), 2, mode="wrap")
        step = 256 // cells
        fine = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += weight * fine[2 * step : 2 * step + 256, 2 * step : 2 * step + 256]
    return np.clip(total / total.std() / 2, -1, 1)


def _sample(across: NDArray[np.float32], along: NDArray[np.float32], place: Background) -> NDArray[np.float32]:
    """Noise at coordinates given in tile pixels, shifted by the scene's own offset."""
    columns = (across + place.variation[6] * 256).astype(np.int32) & 255
    rows = (along + place.variation[7] * 256).astype(np.int32) & 255
    return _noise()[rows, columns]


def _sky(scene: Scene, centres: NDArray[np.float32], horizon: float) -> NDArray[np.float32]:
    place, size = scene.background, len(centres)
    top, low = _SKY[scene.light]
    if scene.weather != "clear":
        grey = tuple(channel * {"day": 1.0, "dusk": 0.7, "night": 0.22}[scene.light] for channel in _OVERCAST)
        top, low = mix(top, grey, 0.7), mix(low, grey, 0.6)  # type: ignore[arg-type]
    height = np.clip(1 - centres / max(horizon, 0.05), 0, 1)[:, None, None] ** np.float32(0.8)
    sky = np.asarray(low, np.float32) * (1 - height) + np.asarray(top, np.float32) * height
    sky = np.repeat(sky.astype(np.float32), size, 1)
    u, v = centres[None, :], centres[:, None]
    if scene.weather == "clear" and place.variation[0] < 0.75 and scene.light != "night":
        clouds = _sample(u * 90, v * 220, place)
        white = (255.0, 252.0, 250.0) if scene.light == "day" else (232.0, 167.0, 144.0)
        cover = np.clip((clouds - (0.5 - 0.6 * place.variation[1])) * 3, 0, 0.85)[..., None]
        sky = sky * (1 - cover) + np.asarray(white, np.float32) * cover
    if scene.weather == "clear" and place.variation[2] < 0.55:
        centre = (0.12 + 0.76 * scene.sun, max(horizon, 0.1) * (0.25 + 0.3 * place.variation[3]))
        radius = 0.045 if scene.light != "dusk" else 0.06
        away = np.hypot(u - centre[0], v - centre[1])
        disc = np.clip((radius - away) * size + 0.5, 0, 1)[..., None]
        colour = {"day": (255, 246, 190), "dusk": (255, 226, 150), "night": (236, 236, 216)}[scene.light]
        sky = sky * (1 - disc) + np.asarray(colour, np.float32) * disc
    if scene.light == "night" and scene.weather == "clear":
        stars = np.random.default_rng(int(place.variation[4] * 1e6)).random((24, 2))
        bright = 255.0 if size >= 96 else 150.0
        for star in stars:
            sky[int(star[1] * size), int(star[0] * size)] = bright
    return sky


def _mountains(
    scene: Scene,
    centres: NDArray[np.float32],
    colours: NDArray[np.float32],
    stuff: NDArray[np.uint8],
    depth: NDArray[np.float32],
    ground: NDArray[np.bool_],
) -> None:
    """A far ridge at `MAX_DEPTH` in half of the outdoor scenes."""
    place = scene.background
    if not place.mountains:
        return
    t = centres * 2 * np.pi
    a, b = place.variation[6] * 6, place.variation[7] * 6
    ridge = 0.5 + 0.3 * np.sin(t * (0.7 + place.variation[4]) + a) + 0.2 * np.sin(t * 2.3 + b)
    top = scene.camera.horizon - (0.04 + 0.12 * place.variation[3]) * ridge
    above = (centres[:, None] > top[None, :]) & ~ground
    tone = np.asarray(mix(*_TONES["mountain"], place.variation[2]), np.float32)
    colours[above] = tone
    stuff[above] = STUFF_INDEX["mountain"]
    depth[above] = MAX_DEPTH


def _wall(place: Background, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """Painted, papered with stripes, or tiled; coordinates in metres on the wall."""
    base = np.asarray(place.rgb, np.float32)
    unit = place.border / 5
    kind = place.variation[0]
    factor = np.ones(x.shape)
    if kind < 0.3:
        factor -= 0.07 * (((x / (0.5 * unit)) % 1) < 0.5)
    elif kind < 0.5:
        factor -= 0.08 * ((((x / (0.6 * unit)) % 1) < 0.07) | (((y / (0.6 * unit)) % 1) < 0.07))
    factor = factor * (1 - 0.12 * (place.variation[1] - 0.5) * x / unit / 3)
    skirting = (y < 0.12 * unit) & (place.ground == "floor")
    wall = base * factor[..., None].astype(np.float32)
    wall[skirting] = base * 0.3 + 165
    return wall


def _ground(
    scene: Scene, z: NDArray[np.float32], x: NDArray[np.float32], colours: NDArray[np.float32], stuff: NDArray[np.uint8]
) -> None:
    """Paints rows that are all ground: near stuff, far stuff beyond a wavy border, and the road."""
    place = scene.background
    _fill(scene, place.ground, None, z, x, colours, stuff)
    if place.beyond == "water":
        shore = place.border * (1 + 0.06 * np.sin(x * 0.5 + place.variation[0] * 6))
        far = z >= shore
        _fill(scene, place.beyond, far, z, x, colours, stuff)
        foam = far & (z < shore * 1.07)
        colours[foam] = colours[foam] * 0.5 + 120
    if place.path is not None:
        start, drift, half = place.path
        offset = x - (start + drift * z)
        _fill(scene, "road", np.abs(offset) < half, z, x, colours, stuff)
        dash = (np.abs(offset) < 0.09) & ((z / 3 + place.variation[0]) % 1 < 0.55)
        edge = np.abs(np.abs(offset) - half * 0.93) < 0.07
        colours[dash | edge] = (232, 230, 220)


def _fill(
    scene: Scene,
    name: str,
    where: NDArray[np.bool_] | None,
    z: NDArray[np.float32],
    x: NDArray[np.float32],
    colours: NDArray[np.float32],
    stuff: NDArray[np.uint8],
) -> None:
    """Paints one stuff on the given ground pixels (None: all)."""
    place = scene.background
    if where is None:
        stuff[:] = STUFF_INDEX[name]
    else:
        stuff[where] = STUFF_INDEX[name]
    tone = np.asarray(mix(*_TONES[name], place.variation[1]), np.float32)
    height = scene.camera.height
    # The grain is measured in camera heights, so it looks alike from every camera.
    fade = 1 / (1 + (z[:, :1] / (14 * height)) ** 2)
    if name == "water":
        texture = 0.16 * _sample(x * (6 / height), np.log(np.maximum(z[:, :1], 0.1)) * 150, place)
    elif name in ("floor", "table"):
        texture = _boards(place, z, x, 1.0 if name == "floor" else 0.3)
        texture += 0.03 * _sample(x * (60 / height), z[:, :1] * (6 / height), place)
    else:
        strength = {"grass": 0.2, "road": 0.06, "sand": 0.08, "snow": 0.04}[name]
        texture = strength * _sample(x * (30 / height), z[:, :1] * (30 / height), place)
    painted = tone * (1 + texture * fade)[..., None]
    if where is None:
        colours[:] = painted
    else:
        np.copyto(colours, painted, where=where[..., None])


def _boards(place: Background, z: NDArray[np.float32], x: NDArray[np.float32], unit: float) -> NDArray[np.float32]:
    """Boards, tiles or nothing, by the scene's variation."""
    kind = place.variation[2]
    if kind < 0.4:
        return -0.1 * ((np.floor(x / (0.3 * unit)) % 2) == 0).astype(np.float32)
    if kind < 0.65:
        return -0.13 * (((np.floor(x / (0.5 * unit)) + np.floor(z / (0.5 * unit))) % 2) == 0).astype(np.float32)
    return np.zeros_like(x)

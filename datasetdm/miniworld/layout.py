"""What a scene is: a camera over a ground plane, a background and objects at metric positions.

World axes: X to the right, Y up, Z forward along the ground, in metres; the camera stands at (0, height, 0). Image
coordinates (u, v) run from 0 to 1 over the square image, so a scene has no resolution.
"""

import math
from dataclasses import dataclass

from datasetdm.miniworld.palette import Colour

#: Metres; nothing lies farther away, and ground beyond it is clipped to it.
MAX_DEPTH = 80.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without roll.

    height: metres above the ground. pitch: radians, positive looks down. focal: focal length in image widths.
    """

    height: float
    pitch: float
    focal: float

    def depth(self, y: float, z: float) -> float:
        """Depth along the optical axis, in metres, of a point `y` above the ground at ground distance `z`."""
        return z * math.cos(self.pitch) + (self.height - y) * math.sin(self.pitch)

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Image coordinates (u, v) of a world point."""
        depth = self.depth(y, z)
        down = (self.height - y) * math.cos(self.pitch) - z * math.sin(self.pitch)
        return 0.5 + self.focal * x / depth, 0.5 + self.focal * down / depth

    @property
    def horizon(self) -> float:
        """v of the horizon (may lie outside [0, 1])."""
        return 0.5 - self.focal * math.tan(self.pitch)


@dataclass(frozen=True)
class SceneObject:
    """One thing, a flat figure that faces the camera.

    category: name in the catalog. x, z: ground position in metres. elevation: metres of its lowest point above the
    ground. height: metres. style: eight numbers in [0, 1) that the drawing of the category turns into shape (0, 1),
    texture (2, 3) and detail (4-7); see `distributions.draw_style` for what is held out. pose: eight numbers in
    [0, 1). flip: mirrored. tilt: radians, counter-clockwise. colour: the name captions use; rgb and accent are what is
    painted.
    """

    category: str
    x: float
    z: float
    elevation: float
    height: float
    style: tuple[float, ...]
    pose: tuple[float, ...]
    flip: bool
    tilt: float
    colour: str
    rgb: Colour
    accent: Colour


@dataclass(frozen=True)
class Background:
    """What lies behind the objects.

    kind: a key of `distributions.SETTINGS`. ground, beyond: stuff names of the near and the far ground. border:
    metres from the camera where `beyond` begins (of a room: where the wall stands). path: (x at the camera in metres,
    metres of drift per metre of distance, half width in metres) of the road, or None. variation: eight numbers in
    [0, 1) for tones, clouds, mountains and textures.
    """

    kind: str
    ground: str
    beyond: str
    border: float
    path: tuple[float, float, float] | None
    variation: tuple[float, ...]
    rgb: Colour

    @property
    def mountains(self) -> bool:
        """Whether a far ridge stands behind an outdoor scene."""
        return self.beyond != "wall" and self.variation[5] <= 0.5


@dataclass(frozen=True)
class Scene:
    """Everything needed to paint and to describe one image.

    light: "day", "dusk" or "night". weather: "clear", "rain", "fog" or "snow". medium: "photo", "drawing" or
    "painting". saturation and contrast: 1 is neutral. objects: far to near.
    """

    distribution: str
    camera: Camera
    background: Background
    light: str
    weather: str
    medium: str
    saturation: float
    contrast: float
    sun: float
    objects: tuple[SceneObject, ...]

"""Vehicles and street furniture; one function each. Axes and brush: see `Brush`."""

import numpy as np

from datasetdm.miniworld.drawing.brush import Brush, box, ellipse, lerp, spline
from datasetdm.miniworld.layout import SceneObject
from datasetdm.miniworld.palette import mix, shade

_GLASS = (168.0, 206.0, 226.0)
_TYRE = (34.0, 34.0, 38.0)
_METAL = (196.0, 198.0, 202.0)
_WHITE = (246.0, 244.0, 238.0)
_HEADLIGHT = (255.0, 240.0, 170.0)
_TAILLIGHT = (226.0, 40.0, 36.0)


def _wheel(brush: Brush, x: float, radius: float) -> None:
    brush.ellipse(x, radius, radius, radius, _TYRE)
    brush.ellipse(x, radius, radius * 0.52, radius * 0.52, _METAL, mark=True)


def car(brush: Brush, o: SceneObject) -> None:
    """Shape: cabin length, hood height (sedan to van). Texture: stripe, two-tone roof."""
    s = o.style
    cabin, hood = lerp(0.55, 1.05, s[0]), lerp(0.5, 0.68, s[1])
    length = lerp(1.05, 1.2, s[4])
    rear = lerp(-length * 0.75, -length * 0.92, s[5])
    body = spline(
        [
            (-length, 0.22),
            (-length, hood),
            (-length * 0.5, hood + 0.06),
            (length * 0.55, hood),
            (length, hood - 0.12),
            (length, 0.22),
        ]
    )
    roof = [(rear, hood), (rear + 0.2, 1.0), (rear + 0.2 + cabin, 1.0), (rear + 0.58 + cabin, hood - 0.02)]
    brush.polygon(roof, _WHITE if s[2] < 0.25 else o.rgb)
    brush.polygon(body, o.rgb)
    brush.polygon(box(-length * 0.98, 0.17, length * 0.98, 0.27), shade(o.rgb, 0.6))
    middle = rear + 0.2 + cabin * 0.52
    brush.polygon(
        [(rear + 0.14, hood + 0.05), (rear + 0.27, 0.92), (middle - 0.04, 0.92), (middle - 0.04, hood + 0.05)],
        _GLASS,
        mark=True,
    )
    brush.polygon(
        [
            (middle + 0.04, hood + 0.05),
            (middle + 0.04, 0.92),
            (rear + 0.16 + cabin, 0.92),
            (rear + 0.42 + cabin, hood + 0.05),
        ],
        _GLASS,
        mark=True,
    )
    if s[3] < 0.35:
        brush.polygon(box(-length * 0.99, 0.36, length * 0.99, 0.44), _WHITE, mark=True)
    brush.limb((middle, hood), (middle, 0.3), 0.01, 0.01, shade(o.rgb, 0.7), mark=True)
    brush.glow(ellipse(length * 0.95, hood - 0.17, 0.07, 0.07), _HEADLIGHT)
    brush.glow(box(-length, hood - 0.18, -length + 0.08, hood - 0.05), _TAILLIGHT)
    _wheel(brush, -length * 0.6, lerp(0.2, 0.25, s[6]))
    _wheel(brush, length * 0.62, lerp(0.2, 0.25, s[6]))


def bus(brush: Brush, o: SceneObject) -> None:
    """Shape: length, window height. Texture: stripe, number of windows; roof colour."""
    s = o.style
    half, sill = lerp(0.85, 1.2, s[0]), lerp(0.48, 0.58, s[1])
    body = [(-half, 0.12), (-half, 0.94), (-half + 0.06, 1.0), (half - 0.1, 1.0), (half, 0.92), (half, 0.12)]
    brush.polygon(body, o.rgb)
    if s[2] < 0.5:
        brush.polygon(box(-half, 0.3, half, 0.41), o.accent, mark=True)
    brush.polygon(box(-half, 0.9, half - 0.01, 0.945), mix(o.rgb, _WHITE, 0.6), mark=True)
    count = 3 + int(s[3] * 4)
    width = (2 * half - 0.42) / count
    for k in range(count):
        x = -half + 0.08 + k * width
        brush.polygon(box(x, sill, x + width * 0.82, 0.86), _GLASS, mark=True)
    brush.polygon(box(half - 0.3, 0.16, half - 0.13, 0.86), shade(_GLASS, 0.75), mark=True)
    brush.polygon(box(half - 0.09, sill, half, 0.88), _GLASS, mark=True)
    brush.polygon(box(-half, 0.1, half, 0.16), shade(o.rgb, 0.5))
    brush.glow(ellipse(half - 0.05, 0.24, 0.045, 0.045), _HEADLIGHT)
    _wheel(brush, -half * 0.58, 0.14)
    _wheel(brush, half * 0.5, 0.14)


def boat(brush: Brush, o: SceneObject) -> None:
    """A sailing or a motor boat (detail 4). Shape: hull length, sail or cabin width. Texture: stripes, sail."""
    s = o.style
    half, depth = lerp(0.42, 0.6, s[0]), 0.2
    hull = [(-half, depth), (-half * 0.8, 0.0), (half * 0.7, 0.0), (half * 1.12, depth + 0.03)]
    if s[4] < 0.65:
        brush.limb((0.0, depth), (0.0, 0.99), 0.014, 0.012, (120.0, 84.0, 50.0))
        sail = mix(o.accent, _WHITE, 0.9 if s[3] < 0.55 else 0.15)
        wide = lerp(0.28, 0.48, s[1])
        main = [(-0.03, depth + 0.06), (-0.03, 0.97), (-wide, depth + 0.1)]
        brush.polygon(main, sail)
        if s[2] < 0.4:
            brush.stripes(main, o.rgb, period=0.22, angle=np.pi / 2)
        brush.polygon([(0.03, depth + 0.08), (0.03, 0.9), (wide * 0.85, depth + 0.08)], shade(sail, 0.9))
    else:
        wide = lerp(0.22, 0.34, s[1])
        brush.polygon([(-wide, depth), (-wide, 0.56), (wide * 0.6, 0.56), (wide, depth)], _WHITE)
        brush.polygon(
            [(-wide * 0.75, 0.36), (-wide * 0.75, 0.48), (wide * 0.5, 0.48), (wide * 0.7, 0.36)], _GLASS, mark=True
        )
        brush.polygon(box(-wide * 1.1, 0.54, wide * 0.7, 0.61), o.accent)
        brush.polygon(box(-wide * 0.5, 0.6, -wide * 0.1, 0.82), shade(o.rgb, 0.8))
        brush.polygon(box(-wide * 0.5, 0.76, -wide * 0.1, 0.82), _TYRE, mark=True)
    brush.polygon(hull, o.rgb)
    brush.polygon(
        [(-half, depth), (-half * 0.95, depth - 0.06), (half * 1.07, depth - 0.05), (half * 1.12, depth + 0.03)],
        mix(o.rgb, _WHITE, 0.65),
        mark=True,
    )


def airplane(brush: Brush, o: SceneObject) -> None:
    """Shape: wing sweep, fin height. Texture: cheat line, tail colour."""
    s = o.style
    sweep, fin = lerp(0.15, 0.5, s[0]), lerp(0.4, 0.55, s[1])
    y = 0.42
    dark = shade(o.rgb, 0.72)
    brush.polygon(
        [(0.22, y + 0.05), (-0.05 - sweep * 0.4, y + 0.42), (-0.22 - sweep * 0.4, y + 0.42), (-0.1, y + 0.05)], dark
    )
    brush.polygon([(-0.88, y + 0.1), (-1.12, y + fin), (-0.98, y + fin), (-0.62, y + 0.12)], o.accent)
    brush.blob(
        [
            (1.1, y),
            (0.85, y + 0.15),
            (0.2, y + 0.17),
            (-0.7, y + 0.14),
            (-1.15, y + 0.1),
            (-0.7, y - 0.1),
            (0.2, y - 0.17),
            (0.85, y - 0.14),
        ],
        o.rgb,
    )
    brush.polygon([(0.86, y + 0.13), (0.72, y + 0.13), (0.72, y + 0.04), (1.0, y + 0.04)], _GLASS, mark=True)
    if s[2] < 0.6:
        brush.polygon([(0.98, y - 0.06), (-1.0, y - 0.0), (-1.05, y + 0.05), (1.02, y - 0.01)], o.accent, mark=True)
    for k in range(6):
        brush.ellipse(0.55 - k * 0.2, y + 0.075, 0.045, 0.04, (70.0, 96.0, 128.0), mark=True)
    brush.polygon([(-0.78, y + 0.06), (-1.12, y - 0.04), (-1.2, y + 0.02), (-0.98, y + 0.08)], dark)
    brush.polygon(
        [(0.3, y - 0.04), (-0.15 - sweep, y - 0.42), (-0.38 - sweep, y - 0.42), (-0.16, y - 0.04)], shade(o.rgb, 0.86)
    )
    brush.limb((0.0, y - 0.2), (0.18, y - 0.2), 0.07, 0.07, o.accent if s[3] < 0.5 else dark)


def traffic_light(brush: Brush, o: SceneObject) -> None:
    """Shape: box width, box height. Texture: housing colour, hood; one of its three lamps shines."""
    s = o.style
    half, tall = lerp(0.095, 0.135, s[0]), lerp(0.42, 0.52, s[1])
    housing = mix((40.0, 44.0, 46.0), (226.0, 178.0, 40.0), 0.0 if s[2] < 0.6 else 0.9)
    brush.polygon(box(-0.028, 0.0, 0.028, 1 - tall), (92.0, 96.0, 100.0))
    brush.polygon(box(-0.09, 0.0, 0.09, 0.035), (92.0, 96.0, 100.0))
    brush.polygon(box(-half, 1 - tall, half, 1.0), housing)
    lamps = ((228.0, 44.0, 36.0), (250.0, 200.0, 40.0), (60.0, 210.0, 90.0))
    lit = {"red": 0, "yellow": 1, "green": 2}[o.colour]
    radius = min(half * 0.68, tall * 0.145)
    for k, colour in enumerate(lamps):
        y = 1 - tall * (0.18 + 0.32 * k)
        if k == lit:
            brush.glow(ellipse(0.0, y, radius, radius), colour)
        else:
            brush.ellipse(0.0, y, radius, radius, shade(colour, 0.32), mark=True)
        if s[3] < 0.5:
            brush.polygon(
                [
                    (-radius * 1.15, y + radius * 0.85),
                    (radius * 1.15, y + radius * 0.85),
                    (radius * 0.7, y + radius * 1.3),
                    (-radius * 0.7, y + radius * 1.3),
                ],
                shade(housing, 0.5),
                mark=True,
            )

"""Furniture, tableware, food and toys; one function each. Axes and brush: see `Brush`."""

import numpy as np

from datasetdm.miniworld.drawing.brush import Brush, box, ellipse, lerp, spline
from datasetdm.miniworld.layout import SceneObject
from datasetdm.miniworld.palette import mix, shade

_WHITE = (246.0, 244.0, 238.0)
_DARK = (36.0, 34.0, 38.0)
_WOOD = (138.0, 90.0, 52.0)
_LEAF = (70.0, 146.0, 58.0)


def bottle(brush: Brush, o: SceneObject) -> None:
    """Shape: belly width, shoulder height. Texture: label, fill level; cap colour."""
    s = o.style
    half, shoulder = lerp(0.13, 0.19, s[0]), lerp(0.5, 0.68, s[1])
    neck = half * 0.42
    outline = spline(
        [
            (-half, 0.02),
            (-half, 0.2),
            (-half, shoulder - 0.06),
            (-neck, shoulder + 0.14),
            (-neck, 0.88),
            (neck, 0.88),
            (neck, shoulder + 0.14),
            (half, shoulder - 0.06),
            (half, 0.2),
            (half, 0.02),
        ]
    )
    brush.polygon(outline, o.rgb)
    brush.polygon(box(-neck * 1.15, 0.88, neck * 1.15, 1.0), o.accent)
    low = lerp(0.12, 0.2, s[3])
    if s[2] < 0.7:
        brush.polygon(box(-half, low, half, shoulder - 0.12), _WHITE, mark=True)
        brush.polygon(box(-half, low + 0.06, half, low + 0.14), o.accent, mark=True)
    brush.limb(
        (-half * 0.55, shoulder - 0.06),
        (-half * 0.55, low * 0.6),
        half * 0.11,
        half * 0.11,
        shade(o.rgb, 1.5),
        mark=True,
    )


def cup(brush: Brush, o: SceneObject) -> None:
    """Shape: taper, width. Texture: plain, striped, dotted or banded."""
    s = o.style
    base, rim = lerp(0.26, 0.42, s[0]), lerp(0.44, 0.54, s[1])
    handle = rim * 0.92
    brush.chain(
        [(handle - 0.06, 0.78), (handle + 0.24, 0.74), (handle + 0.26, 0.42), (handle - 0.12, 0.26)],
        (0.06,) * 4,
        shade(o.rgb, 0.82),
    )
    wall = [(-rim, 0.9), (-base, 0.06), (-base * 0.5, 0.0), (base * 0.5, 0.0), (base, 0.06), (rim, 0.9)]
    brush.polygon(wall, o.rgb)
    if s[2] < 0.3:
        brush.stripes(wall, o.accent, period=lerp(0.2, 0.32, s[3]), angle=np.pi / 2)
    elif s[2] < 0.55:
        brush.dots(wall, o.accent, period=lerp(0.24, 0.34, s[3]), radius=0.075)
    elif s[2] < 0.75:
        brush.polygon(
            [(-rim * 0.93, 0.62), (-rim * 0.86, 0.4), (rim * 0.86, 0.4), (rim * 0.93, 0.62)], o.accent, mark=True
        )
    brush.ellipse(0.0, 0.9, rim, 0.1, shade(o.rgb, 1.25))
    brush.ellipse(0.0, 0.89, rim * 0.86, 0.07, (86.0, 52.0, 34.0) if s[4] < 0.6 else shade(o.rgb, 0.6), mark=True)


def banana(brush: Brush, o: SceneObject) -> None:
    """Shape: bend, thickness. Texture: brown specks, green ends."""
    s = o.style
    bend, thick = lerp(0.75, 1.1, s[0]), lerp(0.17, 0.25, s[1])
    angle = np.linspace(np.pi * (1.5 - 0.36 * bend), np.pi * (1.5 + 0.36 * bend), 9)
    radius = np.array([0.35, 0.7, 0.92, 1.0, 1.0, 1.0, 0.9, 0.65, 0.3]) * thick
    spine = np.stack([np.cos(angle) * 0.95, np.sin(angle) * 0.86 + 1.06], 1)
    brush.chain(spine, radius, o.rgb)
    inner = spine * (0.93, 1.0) + (0.0, thick * 0.35)
    brush.chain(inner[1:-1], radius[1:-1] * 0.28, shade(o.rgb, 1.4), mark=True)
    tip = (92.0, 66.0, 34.0) if s[3] < 0.6 else (120.0, 150.0, 50.0)
    brush.limb(spine[-1], spine[-1] + (0.05, 0.16), thick * 0.34, thick * 0.26, tip)
    brush.ellipse(spine[0][0], spine[0][1], thick * 0.33, thick * 0.33, tip)
    if s[2] < 0.5:
        for k in (2, 4, 5):
            brush.ellipse(spine[k][0], spine[k][1] - 0.04, thick * 0.2, thick * 0.14, (130.0, 92.0, 40.0), mark=True)


def apple(brush: Brush, o: SceneObject) -> None:
    """Shape: width, waist. Texture: second tint, speckles; leaf."""
    s = o.style
    half, waist = lerp(0.43, 0.52, s[0]), lerp(0.72, 0.95, s[1])
    outline = spline(
        [
            (0.0, 0.76),
            (-half * 0.55, 0.86),
            (-half, 0.6),
            (-half * waist * 0.85, 0.2),
            (-half * 0.35, 0.0),
            (0.0, 0.04),
            (half * 0.35, 0.0),
            (half * waist * 0.85, 0.2),
            (half, 0.6),
            (half * 0.55, 0.86),
        ]
    )
    brush.polygon(outline, o.rgb)
    if s[2] < 0.4:
        brush.blob(
            [(half * 0.2, 0.75), (half * 0.8, 0.66), (half * 0.7, 0.25), (half * 0.3, 0.2)],
            mix(o.rgb, (240.0, 210.0, 70.0), lerp(0.3, 0.6, s[3])),
            mark=True,
        )
    brush.ellipse(-half * 0.5, 0.62, half * 0.16, 0.11, shade(o.rgb, 1.55), angle=0.5, mark=True)
    brush.ellipse(0.0, 0.77, half * 0.3, 0.045, shade(o.rgb, 0.6), mark=True)
    brush.limb((0.0, 0.74), (0.06, 0.97), 0.03, 0.035, (96.0, 62.0, 36.0))
    if s[4] < 0.65:
        brush.blob([(0.05, 0.86), (0.2, 0.99), (0.4, 0.96), (0.22, 0.83)], _LEAF)


def chair(brush: Brush, o: SceneObject) -> None:
    """Shape: back height, seat width. Texture: solid, slatted or barred back; cushion."""
    s = o.style
    seat, half = lerp(0.4, 0.5, s[0]), lerp(0.22, 0.3, s[1])
    dark, leg = shade(o.rgb, 0.68), 0.03
    depth = 0.12
    for x in (-half + leg + depth, half - leg + depth):
        brush.polygon(box(x - leg, 0.07, x + leg, seat), dark)
    left, right = -half + depth * 0.7, half + depth * 0.7
    if s[2] < 0.4:
        brush.polygon(box(left, seat + 0.02, right, 1.0), o.rgb)
        brush.polygon(box(left + 0.05, seat + 0.1, right - 0.05, 0.94), shade(o.rgb, 1.18), mark=True)
    else:
        for x in (left + leg, right - leg):
            brush.polygon(box(x - leg, seat, x + leg, 1.0), o.rgb)
        if s[2] < 0.7:
            for y in (0.66, 0.79, 0.92):
                brush.polygon(box(left, y - 0.035, right, y + 0.045), o.rgb)
        else:
            brush.polygon(box(left, 0.9, right, 1.0), o.rgb)
            for t in (0.3, 0.5, 0.7):
                x = lerp(left, right, t)
                brush.polygon(box(x - 0.022, seat, x + 0.022, 0.92), dark)
    brush.polygon(
        [(-half, seat - 0.02), (left, seat + 0.12), (right, seat + 0.12), (half, seat - 0.02)],
        o.accent if s[3] < 0.5 else shade(o.rgb, 1.15),
    )
    brush.polygon(box(-half, seat - 0.09, half, seat - 0.01), shade(o.rgb, 0.82))
    for x in (-half + leg, half - leg):
        brush.polygon(box(x - leg, 0.0, x + leg, seat - 0.05), o.rgb)


def potted_plant(brush: Brush, o: SceneObject) -> None:
    """Shape: pot width, leaf spread. Texture: pot band, leaf kind; flowers. Its colour is the pot's."""
    s = o.style
    pot, spread = lerp(0.17, 0.25, s[0]), lerp(0.75, 1.15, s[1])
    green = mix(_LEAF, (36.0, 104.0, 66.0), s[4])
    count = 7
    for k in range(count):
        angle = np.pi / 2 + (k - (count - 1) / 2) * 0.36 * spread
        length = 0.58 * (1 - 0.14 * abs(k - (count - 1) / 2) * 0.5)
        tip = (np.cos(angle) * length * 0.95, 0.38 + np.sin(angle) * length)
        tone = shade(green, 0.8 if k % 2 else 1.08)
        if s[2] < 0.5:
            middle = (tip[0] * 0.5, 0.36 + (tip[1] - 0.36) * 0.58)
            brush.blob(
                [(0.0, 0.34), (middle[0] - 0.06, middle[1] + 0.03), tip, (middle[0] + 0.06, middle[1] - 0.03)], tone
            )
        else:
            brush.limb((0.0, 0.36), (tip[0] * 0.8, 0.36 + (tip[1] - 0.36) * 0.8), 0.018, 0.014, shade(green, 0.7))
            brush.ellipse(tip[0] * 0.82, 0.36 + (tip[1] - 0.36) * 0.82, 0.13, 0.105, tone, angle=angle)
    if s[5] < 0.35:
        for x, y in ((-0.16, 0.72), (0.1, 0.84), (0.22, 0.62)):
            brush.ellipse(x * spread, y, 0.07, 0.07, o.accent)
            brush.ellipse(x * spread, y, 0.028, 0.028, (250.0, 220.0, 80.0), mark=True)
    brush.polygon([(-pot * 0.7, 0.0), (pot * 0.7, 0.0), (pot, 0.34), (-pot, 0.34)], o.rgb)
    brush.polygon(box(-pot * 1.15, 0.3, pot * 1.15, 0.4), shade(o.rgb, 0.85))
    if s[3] < 0.4:
        brush.polygon(
            [(-pot * 0.82, 0.12), (pot * 0.82, 0.12), (pot * 0.9, 0.2), (-pot * 0.9, 0.2)], o.accent, mark=True
        )


def clock(brush: Brush, o: SceneObject) -> None:
    """Shape: roundness (round to square), rim width. Texture: ticks, face tint; the hands show the hour of the pose."""
    s = o.style
    rim = lerp(0.06, 0.13, s[1])
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    power = 1.0 if s[0] < 0.55 else lerp(0.9, 0.35, (s[0] - 0.55) / 0.45)
    unit = np.stack(
        [np.sign(np.cos(angle)) * abs(np.cos(angle)) ** power, np.sign(np.sin(angle)) * abs(np.sin(angle)) ** power], 1
    )
    face = _WHITE if s[2] < 0.6 else (250.0, 232.0, 180.0)
    brush.polygon(unit * 0.5 + (0, 0.5), o.rgb)
    brush.polygon(unit * (0.5 - rim) + (0, 0.5), face, mark=True)
    step = 12 if s[3] < 0.5 else 4
    for a in np.arange(step) * 2 * np.pi / step:
        brush.ellipse(0.33 * np.cos(a), 0.5 + 0.33 * np.sin(a), 0.026, 0.026, _DARK, mark=True)
    for turn, length, width in ((o.pose[0], 0.2, 0.032), (o.pose[0] * 12, 0.3, 0.024)):
        a = np.pi / 2 - turn * 2 * np.pi
        brush.limb((0, 0.5), (length * np.cos(a), 0.5 + length * np.sin(a)), width, width * 0.7, _DARK, mark=True)


def lamp(brush: Brush, o: SceneObject) -> None:
    """Shape: shade width, shade height. Texture: shade trim; foot colour. Its shade shines after dark."""
    s = o.style
    wide, tall = lerp(0.2, 0.32, s[0]), lerp(0.26, 0.38, s[1])
    foot = _DARK if s[3] < 0.5 else _WOOD
    brush.ellipse(0.0, 0.035, 0.17, 0.035, foot)
    brush.polygon(box(-0.022, 0.03, 0.022, 1 - tall + 0.02), foot)
    brush.ellipse(0.0, 0.3, 0.05, 0.07, foot)
    top = wide * lerp(0.45, 0.8, s[4])
    cone = [(-wide, 1 - tall), (wide, 1 - tall), (top, 1.0), (-top, 1.0)]
    brush.glow(cone, shade(o.rgb, 1.2))
    brush.polygon(
        [(-wide * 0.35, 1 - tall), (wide * 0.35, 1 - tall), (top * 0.35, 1.0), (-top * 0.35, 1.0)],
        shade(o.rgb, 1.45),
        mark=True,
    )
    if s[2] < 0.5:
        brush.polygon(box(-wide, 1 - tall, wide, 1 - tall + 0.05), o.accent, mark=True)


def ball(brush: Brush, o: SceneObject) -> None:
    """Shape: rotation, panel count. Texture: beach ball, football, banded or plain."""
    s = o.style
    turn = s[0] * 2 * np.pi + o.pose[0]
    brush.ellipse(0.0, 0.5, 0.5, 0.5, o.rgb)
    if s[2] < 0.4:
        count = 3 + int(s[1] * 2)
        for k in range(count):
            a = turn + 2 * np.pi * (k + np.linspace(0, 0.5, 6)) / count
            brush.polygon(
                np.vstack([[(0.08, 0.56)], np.stack([0.5 * np.cos(a), 0.5 + 0.5 * np.sin(a)], 1)]), o.accent, mark=True
            )
        brush.ellipse(0.08, 0.56, 0.08, 0.08, _WHITE, mark=True)
    elif s[2] < 0.7:
        brush.ellipse(0.0, 0.5, 0.17, 0.17, o.accent, mark=True)
        for a in turn + np.arange(5) * 2 * np.pi / 5:
            brush.ellipse(0.41 * np.cos(a), 0.5 + 0.41 * np.sin(a), 0.09, 0.14, o.accent, angle=a, mark=True)
    elif s[2] < 0.88:
        brush.stripes(ellipse(0.0, 0.5, 0.5, 0.5), o.accent, period=lerp(0.4, 0.6, s[3]), angle=turn, share=0.4)
    brush.ellipse(-0.18, 0.7, 0.1, 0.075, shade(o.rgb, 1.6), angle=0.7, mark=True)


def umbrella(brush: Brush, o: SceneObject) -> None:
    """Shape: canopy width, canopy height. Texture: panels, dots or plain."""
    s = o.style
    wide, tall = lerp(0.45, 0.62, s[0]), lerp(0.3, 0.42, s[1])
    rim = 0.95 - tall
    brush.polygon(box(-0.018, 0.0, 0.018, 0.95), (112.0, 80.0, 52.0))
    if s[4] < 0.5:
        brush.chain([(0.0, 0.06), (0.04, 0.02), (0.1, 0.03), (0.11, 0.09)], (0.022,) * 4, (112.0, 80.0, 52.0))
    arc = np.linspace(np.pi, 0, 13)
    lobes = np.linspace(wide, -wide, 17)[1:-1]
    lower = np.stack([lobes, rim + 0.045 * np.abs(np.sin(np.linspace(0, 4 * np.pi, 17)[1:-1]))], 1)
    canopy = np.vstack([np.stack([wide * np.cos(arc), rim + tall * np.sin(arc)], 1), lower])
    brush.polygon(canopy, o.rgb)
    if s[2] < 0.5:
        for k in (0, 2):
            left, right = -wide + k * wide / 2, -wide + (k + 1) * wide / 2
            middle = (left + right) / 2
            brush.blob(
                [
                    (left, rim + 0.02),
                    (middle * 0.75 - wide * 0.14, rim + tall * 0.7),
                    (0.0, rim + tall),
                    (middle * 0.6 + wide * 0.1, rim + tall * 0.7),
                    (right, rim + 0.02),
                    (middle, rim + 0.05),
                ],
                o.accent,
                mark=True,
            )
    elif s[2] < 0.75:
        brush.dots(canopy, o.accent, period=0.15, radius=lerp(0.035, 0.05, s[3]))
    brush.limb((0.0, 0.94), (0.0, 0.985), 0.02, 0.014, _DARK)


def kite(brush: Brush, o: SceneObject) -> None:
    """Shape: diamond width, waist height. Texture: quarters, halves or border; a tail with bows."""
    s = o.style
    wide, waist = lerp(0.25, 0.36, s[0]), lerp(0.62, 0.74, s[1])
    foot = 0.3
    top, left, right, bottom, middle = (0.0, 1.0), (-wide, waist), (wide, waist), (0.0, foot), (0.0, waist)
    tail = [(0.0, foot), (0.07, 0.22), (-0.04, 0.13), (0.05, 0.03)]
    brush.chain(tail, (0.014,) * 4, shade(o.accent, 0.7))
    for x, y in tail[1:]:
        brush.polygon(
            [(x - 0.07, y + 0.035), (x + 0.07, y - 0.035), (x + 0.07, y + 0.035), (x - 0.07, y - 0.035)], o.accent
        )
    brush.polygon([top, left, bottom, right], o.rgb)
    if s[2] < 0.5:
        brush.polygon([top, left, middle], o.accent, mark=True)
        brush.polygon([bottom, right, middle], o.accent, mark=True)
    elif s[2] < 0.75:
        brush.polygon([top, right, bottom], o.accent, mark=True)
    brush.limb(top, bottom, 0.01, 0.01, shade(o.rgb, 0.5), mark=True)
    brush.limb(left, right, 0.01, 0.01, shade(o.rgb, 0.5), mark=True)

"""Animals, in profile, facing right; one function each. Axes and brush: see `Brush`."""

import numpy as np

from datasetdm.miniworld.drawing.brush import Brush, lerp, spline
from datasetdm.miniworld.layout import SceneObject
from datasetdm.miniworld.palette import mix, shade

_DARK = (30.0, 28.0, 30.0)
_WHITE = (246.0, 244.0, 238.0)


def _legs(
    brush: Brush, o: SceneObject, hips: tuple[float, float], top: float, radius: float, hoof: tuple[float, float, float]
) -> None:
    """Four legs in mid-stride: the far pair darker, each ending in a hoof or paw of its own colour."""
    stride = lerp(0.02, 0.14, o.pose[0]) * top * 1.6
    phase = np.sign(o.pose[1] - 0.5)
    far = shade(o.rgb, 0.72)
    for side, colour in ((-phase, far), (phase, o.rgb)):
        for k, hip in enumerate(hips):
            swing = side * stride * (1 if k == 0 else -1)
            foot = (hip + swing, radius * 0.9)
            brush.limb((hip, top), (foot[0], foot[1]), radius * 1.25, radius * 0.9, colour)
            brush.limb((foot[0], foot[1] * 1.3), (foot[0] + radius * 0.7, foot[1]), radius * 0.9, radius * 0.9, hoof)


def dog(brush: Brush, o: SceneObject) -> None:
    """Shape: leg length, body length. Texture: plain, patched or with a saddle; ear colour."""
    s = o.style
    legs, length, dark = lerp(0.28, 0.46, s[0]), lerp(0.62, 0.95, s[1]), shade(o.rgb, 0.62)
    back = -length * 0.55
    front, body, girth = back + length, legs + 0.15, lerp(0.15, 0.2, s[4])
    brush.chain(
        [(back, body + 0.06), (back - 0.14, body + 0.2), (back - 0.16, body + 0.36)], (0.06, 0.05, 0.035), o.rgb
    )
    _legs(brush, o, (back + 0.08, front - 0.1), body - 0.05, 0.062, shade(o.rgb, 0.85))
    torso = spline(
        [
            (back - 0.08, body),
            (back + 0.06, body + girth),
            (front - 0.1, body + girth + 0.02),
            (front + 0.06, body + 0.05),
            (front - 0.06, body - girth),
            (back + 0.1, body - girth * 0.75),
        ]
    )
    brush.polygon(torso, o.rgb)
    if s[2] < 0.35:
        brush.dots(torso, dark, period=0.22, radius=0.075)
    elif s[2] < 0.7:
        brush.blob(
            [
                (back + 0.02, body + girth),
                (front - 0.18, body + girth),
                (front - 0.22, body),
                (back + 0.1, body + 0.02),
            ],
            dark,
            mark=True,
        )
    head = (front + 0.12, 0.8)
    brush.limb((front - 0.04, body + 0.08), head, 0.13, 0.12, o.rgb)
    brush.ellipse(*head, 0.16, 0.145, o.rgb)
    brush.limb((head[0] + 0.08, head[1] - 0.04), (head[0] + 0.25, head[1] - 0.06), 0.085, 0.06, mix(o.rgb, _WHITE, 0.3))
    brush.ellipse(head[0] + 0.29, head[1] - 0.03, 0.04, 0.035, _DARK)
    ear = dark if s[3] < 0.6 else shade(o.rgb, 0.8)
    if s[5] < 0.5:
        brush.blob(
            [
                (head[0] - 0.12, head[1] + 0.1),
                (head[0] + 0.02, head[1] + 0.1),
                (head[0] - 0.03, head[1] - 0.16),
                (head[0] - 0.15, head[1] - 0.12),
            ],
            ear,
        )
    else:
        brush.polygon(
            [(head[0] - 0.14, head[1] + 0.06), (head[0] + 0.03, head[1] + 0.11), (head[0] - 0.08, head[1] + 0.27)], ear
        )
    brush.ellipse(head[0] + 0.06, head[1] + 0.03, 0.026, 0.03, _DARK, mark=True)
    if s[6] < 0.6:
        brush.limb((front - 0.03, body + 0.2), (front + 0.12, body + 0.1), 0.03, 0.03, o.accent, mark=True)


def horse(brush: Brush, o: SceneObject) -> None:
    """Shape: body length, neck angle. Texture: blaze and socks, patches; mane colour."""
    s = o.style
    length, lift = lerp(0.62, 0.8, s[0]), lerp(-0.06, 0.06, s[1])
    back, body = -length * 0.55, 0.55
    front = back + length
    mane = mix(o.rgb, _DARK, 0.75) if s[3] < 0.6 else (226.0, 208.0, 170.0)
    brush.chain([(back, body + 0.08), (back - 0.1, body), (back - 0.13, body - 0.25)], (0.03, 0.055, 0.03), mane)
    hoof = _WHITE if s[2] > 0.6 else shade(o.rgb, 0.45)
    _legs(brush, o, (back + 0.07, front - 0.08), body - 0.02, 0.042, hoof)
    torso = spline(
        [
            (back - 0.05, body + 0.02),
            (back + 0.06, body + 0.13),
            (front - 0.2, body + 0.11),
            (front + 0.03, body + 0.1),
            (front, body - 0.1),
            (back + 0.15, body - 0.12),
        ]
    )
    brush.polygon(torso, o.rgb)
    if s[2] < 0.3:
        brush.dots(torso, _WHITE, period=0.26, radius=0.095)
    head = (front + 0.2, 0.86 + lift)
    brush.polygon(
        [
            (front - 0.16, body + 0.06),
            (front + 0.03, body - 0.06),
            (head[0] + 0.02, head[1] - 0.08),
            (head[0] - 0.08, head[1] + 0.06),
        ],
        o.rgb,
    )
    brush.chain(
        [(front - 0.12, body + 0.13), (front + 0.0, body + 0.26 + lift / 2), (head[0] - 0.08, head[1] + 0.06)],
        (0.035, 0.05, 0.035),
        mane,
    )
    brush.limb(head, (head[0] + 0.16, head[1] - 0.13), 0.085, 0.052, o.rgb)
    brush.ellipse(head[0] + 0.18, head[1] - 0.15, 0.045, 0.045, shade(o.rgb, 0.6))
    brush.polygon(
        [(head[0] - 0.07, head[1] + 0.05), (head[0] + 0.01, head[1] + 0.06), (head[0] - 0.03, head[1] + 0.15)], o.rgb
    )
    brush.ellipse(head[0] + 0.03, head[1] + 0.01, 0.018, 0.022, _DARK, mark=True)


def sheep(brush: Brush, o: SceneObject) -> None:
    """Shape: wool length, body length. Texture: curls; face colour."""
    s = o.style
    length, wool = lerp(0.5, 0.75, s[0]), lerp(0.27, 0.33, s[1])
    face = mix(_DARK, (90.0, 70.0, 60.0), s[3]) if s[2] < 0.65 else (222.0, 190.0, 160.0)
    back, body = -length * 0.6, 0.55
    front = back + length
    for hip in (back + 0.04, back + 0.2, front - 0.16, front):
        brush.limb((hip, body - 0.1), (hip, 0.05), 0.05, 0.042, face)
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False) + s[4]
    centre = (back + front) / 2
    brush.limb((back, body), (front, body), wool * 0.92, wool * 0.92, o.rgb)
    for a in angle:
        brush.ellipse(centre + (length / 2 + wool * 0.8) * np.cos(a), body + wool * 0.86 * np.sin(a), 0.1, 0.1, o.rgb)
    curl = shade(o.rgb, 0.86)
    for k in range(7):
        x = lerp(back - 0.1, front + 0.08, ((k * 0.382 + s[5]) % 1))
        brush.ellipse(x, body + wool * (((k * 0.618 + s[6]) % 1) - 0.5) * 1.2, 0.055, 0.04, curl, mark=True)
    head = (front + wool * 0.95, body + 0.16)
    brush.limb(head, (head[0] + 0.1, head[1] - 0.14), 0.11, 0.075, face)
    brush.ellipse(head[0] - 0.03, head[1] + 0.1, 0.12, 0.08, o.rgb)
    brush.limb((head[0] - 0.05, head[1] + 0.02), (head[0] - 0.17, head[1] - 0.06), 0.045, 0.035, shade(face, 0.85))
    brush.ellipse(head[0] + 0.06, head[1], 0.022, 0.024, _WHITE, mark=True)


def elephant(brush: Brush, o: SceneObject) -> None:
    """Shape: ear size, trunk curl. Texture: ear tint, tusks; saddle cloth."""
    s = o.style
    ear, curl = lerp(0.17, 0.25, s[0]), lerp(-0.08, 0.32, s[1])
    far, dark = shade(o.rgb, 0.74), shade(o.rgb, 0.85)
    stride = lerp(0.0, 0.08, o.pose[0])
    for x, colour in ((-0.36, far), (0.2, far), (-0.26, o.rgb), (0.1, o.rgb)):
        shift = stride if colour is far else -stride
        brush.limb((x, 0.45), (x + shift, 0.075), 0.125, 0.1, colour)
        brush.limb((x + shift - 0.05, 0.03), (x + shift + 0.07, 0.03), 0.03, 0.03, (224.0, 214.0, 196.0), mark=True)
    brush.limb((-0.5, 0.68), (-0.58, 0.42), 0.03, 0.02, dark)
    torso = spline(
        [(-0.53, 0.6), (-0.4, 0.85), (-0.08, 0.93), (0.2, 0.86), (0.28, 0.6), (0.12, 0.36), (-0.2, 0.34), (-0.46, 0.42)]
    )
    brush.polygon(torso, o.rgb)
    if s[2] < 0.35:
        brush.blob([(-0.3, 0.88), (-0.02, 0.93), (0.0, 0.55), (-0.28, 0.53)], o.accent, mark=True)
    brush.chain(
        [
            (0.52, 0.66),
            (0.62, 0.42),
            (0.62 + curl * 0.35, 0.2 + max(curl, 0) * 0.3),
            (0.6 + curl, 0.16 + max(curl, 0) * 0.9),
        ],
        (0.1, 0.075, 0.058, 0.045),
        o.rgb,
    )
    brush.ellipse(0.4, 0.76, 0.22, 0.22, o.rgb)
    if s[3] > 0.3:
        brush.chain([(0.52, 0.58), (0.62, 0.47), (0.74, 0.48)], (0.035, 0.03, 0.015), _WHITE)
    brush.blob(
        [(0.3, 0.9), (0.3 - ear, 0.92), (0.26 - ear * 1.3, 0.7), (0.28 - ear * 0.4, 0.48), (0.36, 0.6)],
        mix(dark, (214.0, 150.0, 150.0), 0.25 * s[4]),
    )
    brush.ellipse(0.5, 0.8, 0.024, 0.028, _DARK, mark=True)


def giraffe(brush: Brush, o: SceneObject) -> None:
    """Shape: neck lean, body length. Texture: spot size and spacing."""
    s = o.style
    lean, length = lerp(0.08, 0.26, s[0]), lerp(0.3, 0.42, s[1])
    back, body, patch = -length * 0.6, 0.45, (146.0, 84.0, 36.0)
    front = back + length
    brush.chain([(back, body + 0.02), (back - 0.06, body - 0.16)], (0.018, 0.026), patch)
    _legs(brush, o, (back + 0.04, front - 0.03), body - 0.04, 0.026, shade(patch, 0.7))
    head = (front + lean, 0.9)
    torso = [
        (back - 0.03, body - 0.02),
        (back + 0.02, body + 0.06),
        (front - 0.07, body + 0.15),
        (head[0] - 0.045, head[1]),
        (head[0] + 0.04, head[1] - 0.02),
        (front + 0.05, body + 0.02),
        (front, body - 0.08),
        (back + 0.05, body - 0.08),
    ]
    brush.polygon(torso, o.rgb)
    period = lerp(0.085, 0.12, s[2])
    brush.dots(torso, patch, period=period, radius=period * lerp(0.34, 0.44, s[3]))
    brush.limb((head[0] - 0.01, head[1]), (head[0] + 0.1, head[1] - 0.045), 0.045, 0.03, o.rgb)
    for dx in (-0.03, 0.01):
        brush.limb((head[0] + dx, head[1] + 0.03), (head[0] + dx - 0.01, head[1] + 0.085), 0.011, 0.015, patch)
    brush.ellipse(head[0] + 0.02, head[1] + 0.012, 0.012, 0.014, _DARK, mark=True)


def bird(brush: Brush, o: SceneObject) -> None:
    """Shape: roundness, tail length. Texture: belly, wing bars. In the air its wings are spread."""
    s = o.style
    belly = mix(o.rgb, _WHITE, lerp(0.3, 0.85, s[2]))
    wing = shade(o.rgb, lerp(0.5, 0.75, s[3]))
    beak = (240.0, 160.0, 40.0)
    if o.elevation > 0:
        _bird_in_flight(brush, o, belly, wing, beak)
        return
    plump, tail = lerp(0.24, 0.31, s[0]), lerp(0.3, 0.6, s[1])
    for x in (-0.04, 0.08):
        brush.limb((x, 0.3), (x, 0.03), 0.024, 0.024, beak)
        brush.limb((x, 0.025), (x + 0.1, 0.025), 0.024, 0.02, beak)
    brush.polygon([(-0.2, 0.55), (-0.2 - tail, 0.42), (-0.24 - tail, 0.3), (-0.1, 0.34)], wing)
    brush.ellipse(0.0, 0.5, plump * 1.35, plump * 0.9, o.rgb, angle=0.3)
    brush.ellipse(0.1, 0.44, plump * 0.9, plump * 0.62, belly, angle=0.3, mark=True)
    brush.ellipse(0.28, 0.8, 0.185, 0.185, o.rgb)
    brush.polygon([(0.42, 0.86), (0.68, 0.77), (0.42, 0.71)], beak)
    brush.blob([(0.16, 0.62), (-0.1, 0.64), (-0.42, 0.4), (-0.1, 0.36)], wing)
    brush.ellipse(0.33, 0.84, 0.042, 0.045, _DARK, mark=True)


def _bird_in_flight(
    brush: Brush,
    o: SceneObject,
    belly: tuple[float, float, float],
    wing: tuple[float, float, float],
    beak: tuple[float, float, float],
) -> None:
    """Seen from the side, the near wing up or down with the beat."""
    beat = lerp(-0.42, 0.5, o.pose[0])
    plump = lerp(0.11, 0.15, o.style[0])
    y = 0.5
    brush.blob([(0.08, y + 0.04), (-0.12, y + 0.02), (-0.34, y + beat * 0.9), (-0.1, y + beat)], shade(wing, 0.8))
    brush.polygon([(-0.25, y + 0.05), (-0.55, y + 0.12), (-0.58, y - 0.08), (-0.22, y - 0.06)], wing)
    brush.ellipse(0.0, y, 0.36, plump, o.rgb)
    brush.ellipse(0.06, y - 0.05, 0.24, plump * 0.55, belly, mark=True)
    brush.ellipse(0.36, y + 0.07, 0.125, 0.12, o.rgb)
    brush.polygon([(0.46, y + 0.12), (0.64, y + 0.05), (0.46, y + 0.01)], beak)
    brush.blob([(0.16, y + 0.05), (-0.14, y + 0.03), (-0.3, y + beat * 1.05), (-0.02, y + beat * 1.1)], wing)
    brush.ellipse(0.4, y + 0.1, 0.03, 0.03, _DARK, mark=True)

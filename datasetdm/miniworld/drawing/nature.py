"""Trees, mushrooms and houses; one function each. Axes and brush: see `Brush`."""

import numpy as np

from datasetdm.miniworld.drawing.brush import Brush, box, lerp
from datasetdm.miniworld.layout import SceneObject
from datasetdm.miniworld.palette import mix, shade

_WHITE = (246.0, 244.0, 238.0)
_BARK = (104.0, 70.0, 44.0)
_WINDOW = (150.0, 196.0, 222.0)
_LIT_WINDOW = (255.0, 226.0, 130.0)


def tree(brush: Brush, o: SceneObject) -> None:
    """A leaf tree or a conifer (detail 4). Shape: crown width, trunk height. Texture: fruit, tint."""
    s = o.style
    wide, trunk = lerp(0.24, 0.36, s[0]), lerp(0.2, 0.36, s[1])
    bark = mix(_BARK, (150.0, 138.0, 124.0), s[5] * 0.6)
    light, dark = shade(o.rgb, 1.14), shade(o.rgb, 0.74)
    if s[4] < 0.4:
        brush.polygon([(-0.045, 0.0), (0.045, 0.0), (0.035, 0.3), (-0.035, 0.3)], bark)
        bottom = trunk * 0.6
        tiers = 3
        for k in range(tiers):
            low = lerp(bottom, 0.66, k / (tiers - 1))
            half = wide * (1 - 0.26 * k) * 0.95
            high = min(1.0, low + 0.42 - 0.03 * k)
            brush.polygon([(-half, low), (half, low), (0.0, high)], o.rgb)
            brush.polygon([(0.12 * half, low), (half, low), (0.0, high)], dark, mark=True)
        return
    brush.polygon([(-0.06, 0.0), (0.06, 0.0), (0.04, trunk + 0.2), (-0.04, trunk + 0.2)], bark)
    middle = (trunk + 1.0) / 2
    half = (1.0 - trunk) / 2
    lobes = 7
    for k in range(lobes):
        a = 2 * np.pi * k / lobes + s[6]
        brush.ellipse(
            wide * 0.66 * np.cos(a),
            middle + half * 0.58 * np.sin(a),
            wide * 0.44,
            half * 0.44,
            dark if np.sin(a) < -0.1 else o.rgb,
        )
    brush.ellipse(0.0, middle, wide * 0.72, half * 0.68, o.rgb)
    for dx, dy in ((-0.3, 0.32), (0.18, 0.5), (-0.05, 0.02)):
        brush.ellipse(dx * wide, middle + dy * half, wide * 0.3, half * 0.2, light, mark=True)
    if s[2] < 0.3:
        for k in range(6):
            a = 2.4 * k + s[3] * 6
            brush.ellipse(
                wide * 0.24 * np.sqrt(k + 0.6) * np.cos(a),
                middle + half * 0.24 * np.sqrt(k + 0.6) * np.sin(a),
                0.034,
                0.034,
                o.accent,
                mark=True,
            )


def mushroom(brush: Brush, o: SceneObject) -> None:
    """Shape: cap width, cap height. Texture: dots and their size; stem ring."""
    s = o.style
    wide, tall = lerp(0.4, 0.58, s[0]), lerp(0.38, 0.55, s[1])
    rim = 1.0 - tall
    stem = (240.0, 228.0, 204.0)
    brush.polygon([(-0.17, 0.02), (0.0, -0.005), (0.17, 0.02), (0.11, rim + 0.08), (-0.11, rim + 0.08)], stem)
    if s[4] < 0.5:
        brush.polygon(
            [(-0.18, rim - 0.14), (0.18, rim - 0.14), (0.12, rim - 0.04), (-0.12, rim - 0.04)],
            shade(stem, 0.86),
            mark=True,
        )
    arc = np.linspace(np.pi, 0, 13)
    cap = np.vstack(
        [
            np.stack([wide * np.cos(arc), rim + tall * np.sin(arc)], 1),
            [(wide * 0.6, rim - 0.06), (-wide * 0.6, rim - 0.06)],
        ]
    )
    brush.polygon(cap, o.rgb)
    brush.polygon(
        [(-wide * 0.98, rim + 0.03), (wide * 0.98, rim + 0.03), (wide * 0.6, rim - 0.06), (-wide * 0.6, rim - 0.06)],
        shade(o.rgb, 0.68),
        mark=True,
    )
    if s[2] < 0.75:
        size = lerp(0.06, 0.1, s[3])
        for x, y in ((-0.55, 0.32), (0.0, 0.42), (0.56, 0.3), (-0.26, 0.72), (0.3, 0.72)):
            brush.ellipse(x * wide, rim + y * tall, size, size * 0.85, _WHITE, mark=True)


def house(brush: Brush, o: SceneObject) -> None:
    """Shape: width, roof height. Texture: planks or bricks, window count; chimney. Its windows shine after dark."""
    s = o.style
    half, roof = lerp(0.42, 0.68, s[0]), lerp(0.3, 0.46, s[1])
    eaves = 1 - roof
    if s[4] < 0.6:
        x = half * 0.5
        brush.polygon(box(x - 0.06, eaves, x + 0.06, 0.98), (134.0, 84.0, 70.0))
    walls = box(-half, 0.0, half, eaves)
    brush.polygon(walls, o.rgb)
    if s[2] < 0.4:
        brush.stripes(walls, shade(o.rgb, 0.88), period=0.09, angle=np.pi / 2, share=0.3)
    over = half * 1.14
    ridge = lerp(0.0, 0.55, s[5]) * half
    brush.polygon([(-over, eaves - 0.02), (-ridge, 1.0), (ridge, 1.0), (over, eaves - 0.02)], o.accent)
    brush.polygon(
        [(-over, eaves - 0.02), (over, eaves - 0.02), (over * 0.95, eaves + 0.03), (-over * 0.95, eaves + 0.03)],
        shade(o.accent, 0.7),
        mark=True,
    )
    door = -half * 0.45 if s[6] < 0.5 else 0.0
    brush.polygon(box(door - 0.085, 0.0, door + 0.085, 0.32), (112.0, 66.0, 40.0), mark=True)
    places = [half * 0.45] if s[3] < 0.5 else [half * 0.18, half * 0.66]
    if door == 0.0:
        places = [-half * 0.58, half * 0.58]
    for x in places:
        brush.polygon(box(x - 0.1, 0.17, x + 0.1, 0.4), _WHITE, mark=True)
        pane = box(x - 0.078, 0.19, x + 0.078, 0.38)
        if o.pose[0] < 0.6:
            brush.glow(pane, mix(_WINDOW, _LIT_WINDOW, 0.75))
        else:
            brush.polygon(pane, _WINDOW, mark=True)

"""An articulated person with the 17 COCO keypoints. Axes and brush: see `Brush`."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasetdm.miniworld.drawing.brush import PART_BITS, Brush, box, ellipse, lerp
from datasetdm.miniworld.layout import SceneObject
from datasetdm.miniworld.palette import Colour, mix, shade

Point = tuple[float, float]

#: Limbs: a joint is visible if a pixel of its limb is.
TORSO, HEAD = 1, 2
ARM = {"left": 3, "right": 4}
LEG = {"left": 5, "right": 6}

#: What a pixel of a person shows; 0 is everything else.
BODY_PARTS = ("background", "top", "pants", "headwear", "footwear", "hair", "face", "skin")

# The part in a label of the brush holds the limb in its lower bits and the position in `BODY_PARTS` above them.
_LIMB_BITS = 3

_SKIN: tuple[Colour, ...] = ((246.0, 208.0, 178.0), (226.0, 176.0, 138.0), (178.0, 122.0, 84.0), (112.0, 74.0, 50.0))
_HAIR: tuple[Colour, ...] = (
    (40.0, 32.0, 30.0),
    (96.0, 60.0, 34.0),
    (206.0, 162.0, 82.0),
    (170.0, 74.0, 36.0),
    (150.0, 148.0, 146.0),
)
_DARK: Colour = (34.0, 32.0, 36.0)


@dataclass(frozen=True)
class Joint:
    """A keypoint in the object's axes and the body parts that show it; none if the view hides it."""

    position: Point
    parts: frozenset[int]


@dataclass(frozen=True)
class _Limb:
    root: Point
    middle: Point
    end: Point


def person_view(o: SceneObject) -> str:
    """Seen from "front", "back" or "side"."""
    return "front" if o.pose[0] < 0.42 else "back" if o.pose[0] < 0.56 else "side"


def limb_of(label: int) -> int:
    """The limb that a label of a person tells."""
    return label & ((1 << _LIMB_BITS) - 1)


def body_parts(labels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Positions in `BODY_PARTS` for labels of persons."""
    return ((labels & ((1 << PART_BITS) - 1)) >> _LIMB_BITS).astype(np.uint8)


def _part(limb: int, shows: str) -> int:
    return BODY_PARTS.index(shows) << _LIMB_BITS | limb


def person(brush: Brush, o: SceneObject) -> dict[str, Joint]:
    """Shape: build, leg length. Texture: skin and hair, shirt stripes. Returns the 17 joints by name."""
    view = person_view(o)
    build, leg = lerp(0.85, 1.2, o.style[0]), lerp(0.215, 0.25, o.style[1])
    facing = 1.0 if o.pose[7] < 0.5 else -1.0
    arms, legs = _side_limbs(o, leg, facing) if view == "side" else _frontal_limbs(o, leg, build, view)
    # The lower foot stands on the ground.
    lift = 0.035 - min(legs["left"].end[1], legs["right"].end[1])
    arms, legs = _raise(arms, lift), _raise(legs, lift)
    hips = 0.0 + lift
    shoulder = hips + 0.31
    skin = _SKIN[min(3, int(o.style[2] * 4))]
    hair = _HAIR[min(4, int(o.style[3] * 5))]
    # The side nearer to the viewer: the one the person turns to us.
    near = "right" if facing > 0 else "left"
    far = "left" if near == "right" else "right"
    shorts = o.style[4] < 0.35
    sleeves = o.style[5] < 0.5

    if view == "side":
        _arm(brush, arms[far], ARM[far], shade(o.rgb, 0.74), shade(skin, 0.8), build, sleeves)
        _leg(brush, legs[far], LEG[far], shade(o.accent, 0.74), shade(skin, 0.8), build, shorts)
        _leg(brush, legs[near], LEG[near], o.accent, skin, build, shorts)
    else:
        for side in ("left", "right"):
            _leg(brush, legs[side], LEG[side], o.accent, skin, build, shorts)
    _torso(brush, o, view, build, hips, shoulder)
    if view == "side":
        head = _head_side(brush, o, shoulder, facing, skin, hair)
        _arm(brush, arms[near], ARM[near], shade(o.rgb, 0.9), skin, build, sleeves)
    else:
        for side in ("left", "right"):
            _arm(brush, arms[side], ARM[side], shade(o.rgb, 0.86), skin, build, sleeves)
        head = _head_frontal(brush, o, view, shoulder, skin, hair)
    brush.part = 0

    hidden: frozenset[int] = frozenset()
    joints = dict(head)
    for side in ("left", "right"):
        behind = view == "side" and side == far
        arm, lower = frozenset({ARM[side]}), frozenset({LEG[side]})
        joints[f"{side}_shoulder"] = Joint(arms[side].root, arm if behind else arm | {TORSO})
        joints[f"{side}_elbow"] = Joint(arms[side].middle, arm)
        joints[f"{side}_wrist"] = Joint(arms[side].end, arm)
        joints[f"{side}_hip"] = Joint(legs[side].root, hidden if behind else lower | {TORSO})
        joints[f"{side}_knee"] = Joint(legs[side].middle, lower)
        joints[f"{side}_ankle"] = Joint(legs[side].end, lower)
    return joints


def _swing(root: Point, length: float, angle: float) -> Point:
    """The end of a bone that hangs from `root`, `angle` radians from straight down towards +x."""
    return root[0] + length * math.sin(angle), root[1] - length * math.cos(angle)


def _limb(root: Point, length: float, upper: float, lower: float) -> _Limb:
    middle = _swing(root, length, upper)
    return _Limb(root, middle, _swing(middle, length * 0.95, lower))


def _raise(limbs: dict[str, _Limb], lift: float) -> dict[str, _Limb]:
    def up(p: Point) -> Point:
        return p[0], p[1] + lift

    return {side: _Limb(up(limb.root), up(limb.middle), up(limb.end)) for side, limb in limbs.items()}


def _frontal_limbs(o: SceneObject, leg: float, build: float, view: str) -> tuple[dict[str, _Limb], dict[str, _Limb]]:
    """Arms and legs of a person who faces us (or turns the back): hips at y = 0."""
    # Who faces us has the left side on our right.
    sign = {"left": 1.0, "right": -1.0} if view == "front" else {"left": -1.0, "right": 1.0}
    arms, legs = {}, {}
    for side, k in (("left", 1), ("right", 2)):
        x = sign[side]
        gesture = o.pose[k]
        if gesture < 0.5:
            upper, bend = lerp(0.12, 0.45, gesture * 2), 0.15
        elif gesture < 0.75:
            upper, bend = lerp(0.9, 1.6, (gesture - 0.5) * 4), 0.5
        else:
            upper, bend = lerp(2.0, 2.7, (gesture - 0.75) * 4), 0.35
        arms[side] = _limb(
            (x * 0.105 * build, 0.285), 0.165, x * upper, x * (upper + bend * (1 if upper > 0.8 else -1))
        )
        spread = lerp(0.03, 0.3, o.pose[3] ** 2)
        legs[side] = _limb((x * 0.058 * build, 0.0), leg, x * spread, x * spread * 0.6)
    return arms, legs


def _side_limbs(o: SceneObject, leg: float, facing: float) -> tuple[dict[str, _Limb], dict[str, _Limb]]:
    """Arms and legs of a person walking or running across the view: hips at y = 0."""
    stride = lerp(0.12, 0.85, o.pose[3])
    arms, legs = {}, {}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        step = sign * (1.0 if o.pose[4] < 0.5 else -1.0)
        thigh = step * stride
        knee = thigh - (0.15 + (0.9 * stride if step < 0 else 0.2))
        legs[side] = _limb((0.0, 0.0), leg, facing * thigh, facing * knee)
        raised = o.pose[1] > 0.82 and step > 0
        upper = 2.2 if raised else -step * stride * 0.9
        arms[side] = _limb((0.0, 0.285), 0.165, facing * upper, facing * (upper + 0.25 + 0.8 * stride))
    return arms, legs


def _arm(brush: Brush, limb: _Limb, number: int, cloth: Colour, skin: Colour, build: float, sleeves: bool) -> None:
    r = 0.036 * build
    brush.part = _part(number, "top" if sleeves else "skin")
    brush.limb(limb.middle, limb.end, r * 0.9, r * 0.8, cloth if sleeves else skin)
    brush.part = _part(number, "top")
    brush.limb(limb.root, limb.middle, r * 1.15, r * 0.95, cloth)
    brush.part = _part(number, "skin")
    brush.ellipse(*limb.end, r * 1.05, r * 1.05, skin)


def _leg(brush: Brush, limb: _Limb, number: int, cloth: Colour, skin: Colour, build: float, shorts: bool) -> None:
    r = 0.05 * build
    toe = limb.end[0] + (0.05 if limb.end[0] >= limb.middle[0] - 0.02 else -0.05)
    brush.part = _part(number, "skin" if shorts else "pants")
    brush.limb(limb.middle, limb.end, r * 0.85, r * 0.65, skin if shorts else cloth)
    brush.part = _part(number, "pants")
    brush.limb(limb.root, limb.middle, r * 1.2, r * 0.92, cloth)
    brush.part = _part(number, "footwear")
    brush.limb((limb.end[0], limb.end[1] - 0.01), (toe, limb.end[1] - 0.012), 0.03, 0.026, _DARK)


def _torso(brush: Brush, o: SceneObject, view: str, build: float, hips: float, shoulder: float) -> None:
    brush.part = _part(TORSO, "top")
    top, bottom = (0.07, 0.055) if view == "side" else (0.13 * build, 0.095 * build)
    brush.limb((0.0, shoulder - 0.01), (0.0, shoulder + 0.06), 0.035, 0.035, shade(o.rgb, 0.8))
    outline = [
        (-bottom, hips - 0.03),
        (-bottom * 0.95, hips + 0.1),
        (-top, shoulder - 0.03),
        (-top * 0.55, shoulder + 0.02),
        (top * 0.55, shoulder + 0.02),
        (top, shoulder - 0.03),
        (bottom * 0.95, hips + 0.1),
        (bottom, hips - 0.03),
    ]
    brush.polygon(outline, o.rgb)
    brush.part = _part(TORSO, "pants")
    brush.patch(box(-bottom, hips - 0.04, bottom, hips + 0.03), o.accent)
    if o.style[3] * 7 % 1 < 0.3:
        brush.stripes(outline, shade(o.rgb, 1.55), period=0.1, angle=math.pi / 2, share=0.4)


def _head_frontal(
    brush: Brush, o: SceneObject, view: str, shoulder: float, skin: Colour, hair: Colour
) -> dict[str, Joint]:
    y, rx, ry = shoulder + 0.125, 0.075, 0.09
    long = o.style[6] < 0.45
    brush.part = _part(HEAD, "hair")
    if long:
        brush.blob(
            [
                (-rx * 1.15, y - ry),
                (-rx * 1.25, y + 0.03),
                (0, y + ry * 1.15),
                (rx * 1.25, y + 0.03),
                (rx * 1.15, y - ry),
            ],
            hair,
        )
    brush.part = _part(HEAD, "face" if view == "front" else "skin")
    brush.ellipse(0.0, y, rx, ry, skin)
    for x in (-rx, rx):
        brush.ellipse(x, y - 0.005, 0.016, 0.022, mix(skin, _DARK, 0.1))
    brush.part = _part(HEAD, "hair")
    if view == "back":
        brush.ellipse(0.0, y + 0.012, rx * 1.02, ry * 0.95, hair)
    else:
        brush.blob(
            [
                (-rx * 1.05, y + 0.01),
                (-rx * 0.8, y + ry * 0.95),
                (0, y + ry * 1.12),
                (rx * 0.8, y + ry * 0.95),
                (rx * 1.05, y + 0.01),
                (rx * 0.5, y + ry * 0.5),
                (-rx * 0.4, y + ry * 0.55),
            ],
            hair,
        )
        for x in (-0.028, 0.028):
            brush.ellipse(x, y + 0.006, 0.012, 0.014, _DARK, mark=True)
        brush.ellipse(0.0, y - 0.02, 0.01, 0.014, shade(skin, 0.8), mark=True)
        brush.limb((-0.022, y - 0.052), (0.022, y - 0.052), 0.008, 0.008, (170.0, 70.0, 66.0), mark=True)
    if o.style[7] < 0.2:
        _hat(brush, o, y + ry * 0.5, rx)
    shown = frozenset({HEAD})
    face = shown if view == "front" else frozenset[int]()
    left = 1.0 if view == "front" else -1.0
    return {
        "nose": Joint((0.0, y - 0.02), face),
        "left_eye": Joint((left * 0.028, y + 0.006), face),
        "right_eye": Joint((-left * 0.028, y + 0.006), face),
        "left_ear": Joint((left * rx, y - 0.005), shown),
        "right_ear": Joint((-left * rx, y - 0.005), shown),
    }


def _head_side(
    brush: Brush, o: SceneObject, shoulder: float, facing: float, skin: Colour, hair: Colour
) -> dict[str, Joint]:
    y, rx, ry = shoulder + 0.125, 0.082, 0.09
    x0 = 0.012 * facing
    brush.part = _part(HEAD, "hair")
    if o.style[6] < 0.45:
        brush.blob(
            [
                (x0 - facing * rx * 0.2, y + ry),
                (x0 - facing * rx * 1.25, y + 0.02),
                (x0 - facing * rx * 1.15, y - ry * 1.1),
                (x0 - facing * rx * 0.2, y - ry * 0.8),
            ],
            hair,
        )
    brush.part = _part(HEAD, "face")
    brush.ellipse(x0, y, rx, ry, skin)
    brush.polygon(
        [
            (x0 + facing * rx * 0.9, y + 0.02),
            (x0 + facing * (rx + 0.032), y - 0.022),
            (x0 + facing * rx * 0.85, y - 0.035),
        ],
        skin,
    )
    brush.part = _part(HEAD, "hair")
    brush.blob(
        [
            (x0 + facing * rx * 0.75, y + ry * 0.5),
            (x0 + facing * rx * 0.2, y + ry * 1.12),
            (x0 - facing * rx * 0.8, y + ry * 0.8),
            (x0 - facing * rx * 1.05, y - ry * 0.3),
            (x0 - facing * rx * 0.4, y - ry * 0.1),
            (x0 + facing * rx * 0.1, y + ry * 0.45),
        ],
        hair,
    )
    ear = (x0 - facing * 0.015, y - 0.01)
    brush.part = _part(HEAD, "face")
    brush.patch(ellipse(*ear, 0.017, 0.024), shade(skin, 0.85))
    eye = (x0 + facing * rx * 0.6, y + 0.012)
    brush.ellipse(*eye, 0.012, 0.015, _DARK, mark=True)
    if o.style[7] < 0.2:
        _hat(brush, o, y + ry * 0.5, rx)
    shown, hidden = frozenset({HEAD}), frozenset[int]()
    near, far = ("right", "left") if facing > 0 else ("left", "right")
    return {
        "nose": Joint((x0 + facing * (rx + 0.012), y - 0.02), shown),
        f"{near}_eye": Joint(eye, shown),
        f"{far}_eye": Joint((eye[0] + facing * 0.012, eye[1]), hidden),
        f"{near}_ear": Joint(ear, shown),
        f"{far}_ear": Joint(ear, hidden),
    }


def _hat(brush: Brush, o: SceneObject, y: float, rx: float) -> None:
    brush.part = _part(HEAD, "headwear")
    brush.polygon(
        [
            (-rx * 1.5, y),
            (rx * 1.5, y),
            (rx * 1.5, y + 0.02),
            (rx * 0.95, y + 0.025),
            (rx * 0.8, y + 0.09),
            (-rx * 0.8, y + 0.09),
            (-rx * 0.95, y + 0.025),
            (-rx * 1.5, y + 0.02),
        ],
        o.accent,
    )

"""Renders a scene with the labels of every task at once.

Objects are painted far to near on a canvas of at least 256 pixels, colours and labels by the same polygons; colours
are averaged down, labels by the most frequent of the pixels that merge, so masks are modal (visible parts only),
disjoint, and follow the picture to a fraction of a pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datasetdm.annotations.persons import KEYPOINTS
from datasetdm.miniworld.background import Backdrop, paint_background
from datasetdm.miniworld.catalog import THING_BY_NAME, THING_INDEX
from datasetdm.miniworld.drawing import DRAWINGS
from datasetdm.miniworld.drawing.brush import GLOWING, PART_BITS, Brush
from datasetdm.miniworld.drawing.person import Joint, body_parts, limb_of
from datasetdm.miniworld.layout import Scene, SceneObject

_CANVAS = 256

#: Gains of red, green and blue by the light of the scene.
_LIGHT = {"day": (1.0, 1.0, 1.0), "dusk": (1.0, 0.8, 0.72), "night": (0.52, 0.56, 0.76)}
_HAZE = {"day": (208.0, 214.0, 220.0), "dusk": (196.0, 160.0, 150.0), "night": (52.0, 58.0, 84.0)}


@dataclass(frozen=True)
class Render:
    """One image and everything there is to know about it; N objects, P of them persons, H = W = size.

    image: H x W x 3 uint8 RGB. masks: N x H x W bool, visible parts, disjoint. category_ids: N int64, as in the
    catalog. object_indices: N int64, positions in `scene.objects`. semantic_map: H x W uint8, `STUFF_INDEX` and
    `THING_INDEX` of the catalog. depth: H x W float32 metres along the optical axis, 0 where not valid. valid_mask:
    H x W bool, False in the sky. keypoints: P x 17 x 3 float32, (x, y, visibility) in pixels and COCO's order and
    flags. person_indices: P int64, positions in `masks` of the persons. body_parts: H x W uint8, positions in
    `BODY_PARTS` of what a person shows (clothes, hair, face, skin, ...), 0 outside persons.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    category_ids: NDArray[np.int64]
    object_indices: NDArray[np.int64]
    semantic_map: NDArray[np.uint8]
    depth: NDArray[np.float32]
    valid_mask: NDArray[np.bool_]
    keypoints: NDArray[np.float32]
    person_indices: NDArray[np.int64]
    body_parts: NDArray[np.uint8]


def render(scene: Scene, size: int = 128) -> Render:
    """The scene at size x size pixels. Any size that divides 256 or is a multiple of 128 shows the same scene."""
    factor = max(2, _CANVAS // size)
    backdrop = paint_background(scene, size)
    _cast_shadows(scene, backdrop, size)
    colours = np.repeat(np.repeat(np.clip(backdrop.colours, 0, 255).astype(np.uint8), factor, 0), factor, 1)
    labels = np.zeros(colours.shape[:2], np.uint16)
    joints = _paint_objects(scene, colours, labels)
    fine = cv2.resize(colours, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    coarse = _merge(labels, factor)
    instances = (coarse >> PART_BITS).astype(np.int64)
    depths = np.array([0.0] + [_depth(scene, o) for o in scene.objects], np.float32)
    depth = np.where(instances > 0, depths[instances], backdrop.depth)
    image = _expose(scene, fine, instances, (coarse & GLOWING) == GLOWING, backdrop, depth)

    present = [k for k in range(len(scene.objects)) if (instances == k + 1).any()]
    masks = np.array([instances == k + 1 for k in present], bool).reshape(-1, size, size)
    codes = np.array([0] + [THING_INDEX[o.category] for o in scene.objects], np.uint8)
    persons = [n for n, k in enumerate(present) if k in joints]
    keypoints = np.array(
        [_keypoints(joints[present[n]], present[n] + 1, labels, instances, size) for n in persons], np.float32
    )
    return Render(
        image=image,
        masks=masks,
        category_ids=np.array([THING_BY_NAME[scene.objects[k].category].id for k in present], np.int64),
        object_indices=np.array(present, np.int64),
        semantic_map=np.where(instances > 0, codes[instances], backdrop.stuff),
        depth=depth,
        valid_mask=depth > 0,
        keypoints=keypoints.reshape(-1, len(KEYPOINTS), 3),
        person_indices=np.array(persons, np.int64),
        body_parts=np.where(masks[persons].any(0), body_parts(coarse), np.uint8(0)),
    )


def visible_areas(scene: Scene) -> NDArray[np.int64]:
    """Visible pixels of each object of the scene in its 128-pixel rendering (without painting colours)."""
    labels = np.zeros((_CANVAS, _CANVAS), np.uint16)
    _paint_objects(scene, None, labels)
    coarse = _merge(labels, 2) >> PART_BITS
    return np.bincount(coarse.ravel(), minlength=len(scene.objects) + 1)[1:]


def _depth(scene: Scene, o: SceneObject) -> float:
    """Depth of an object: that of its foot, as the figure is parallel to the image."""
    return scene.camera.depth(o.elevation, o.z)


def _paint_objects(
    scene: Scene, colours: NDArray[np.uint8] | None, labels: NDArray[np.uint16]
) -> dict[int, dict[str, tuple[Joint, NDArray[np.float64]]]]:
    """Paints all objects, far to near; returns the joints of the persons with their canvas positions."""
    side = labels.shape[0]
    joints = {}
    for k, o in enumerate(scene.objects):
        u, v = scene.camera.project(o.x, o.elevation, o.z)
        scale = scene.camera.focal * o.height / _depth(scene, o) * side
        brush = Brush(colours, labels, k + 1, (u * side, v * side), scale, flip=o.flip, tilt=o.tilt)
        body = DRAWINGS[o.category](brush, o)
        if body is not None:
            joints[k] = {name: (joint, brush.to_canvas([joint.position])[0]) for name, joint in body.items()}
    return joints


def _merge(labels: NDArray[np.uint16], factor: int) -> NDArray[np.uint16]:
    """Halves the label map until it is `factor` times smaller; each pixel takes the instance most of its four have."""
    while factor > 1:
        a, b, c, d = labels[::2, ::2], labels[::2, 1::2], labels[1::2, ::2], labels[1::2, 1::2]
        ia, ib, ic, id_ = a >> PART_BITS, b >> PART_BITS, c >> PART_BITS, d >> PART_BITS
        first = (ia == ib) | (ia == ic) | (ia == id_)
        second = (ib == ic) | (ib == id_)
        labels = np.where(first, a, np.where(second, b, np.where(ic == id_, c, a)))
        factor //= 2
    return labels


def _cast_shadows(scene: Scene, backdrop: Backdrop, size: int) -> None:
    """Darkens the ground under whatever stands on it."""
    shadow = np.zeros((size, size), np.uint8)
    for o in scene.objects:
        if o.elevation > 0:
            continue
        u, v = scene.camera.project(o.x, 0.0, o.z)
        width = scene.camera.focal * o.height / _depth(scene, o) * _SHADOW.get(o.category, 0.3) * size
        flat = max(0.1, min(0.35, scene.camera.height / max(o.z, 0.1)))
        axes = (max(1, round(width * 16)), max(1, round(width * flat * 16)))
        centre = (round((u * size - 0.5 + width * 0.15 * (0.5 - scene.sun)) * 16), round((v * size - 0.5) * 16))
        if max(abs(centre[0]), abs(centre[1]), *axes) < 30000:
            cv2.ellipse(shadow, centre, axes, 0, 0, 360, 80, -1, cv2.LINE_AA, 4)
    gain = 1 - shadow.astype(np.float32)[..., None] / 255
    backdrop.colours[:] = np.where(backdrop.lit[..., None], backdrop.colours * gain, backdrop.colours)


#: Half width of the shadow in units of the object's height, where it is not the usual one.
_SHADOW = {
    "car": 1.1,
    "bus": 1.0,
    "person": 0.16,
    "tree": 0.3,
    "traffic light": 0.1,
    "lamp": 0.18,
    "bottle": 0.18,
    "giraffe": 0.24,
    "house": 0.62,
    "apple": 0.42,
    "ball": 0.42,
    "cup": 0.42,
    "banana": 0.7,
    "umbrella": 0.3,
    "boat": 0.5,
    "elephant": 0.55,
    "sheep": 0.55,
    "dog": 0.48,
    "horse": 0.5,
    "clock": 0.4,
    "potted plant": 0.24,
    "mushroom": 0.24,
}


def _expose(
    scene: Scene,
    colours: NDArray[np.float32],
    instances: NDArray[np.int64],
    glowing: NDArray[np.bool_],
    backdrop: Backdrop,
    depth: NDArray[np.float32],
) -> NDArray[np.uint8]:
    """Form shading, light of the hour, haze, rain or snow, medium and grading."""
    size = colours.shape[0]
    colours = colours * _form(scene, instances)[..., None]
    gain = np.asarray(_LIGHT[scene.light], np.float32)
    if scene.background.beyond == "wall":
        gain = 0.35 * gain + 0.65
    if scene.light != "day":
        dim = (backdrop.lit | (instances > 0)) & ~glowing
        colours = np.where(dim[..., None], colours * gain, colours)
    if scene.weather == "fog":
        distance = np.where(depth > 0, depth, 60.0)
        clear = np.exp(-distance / 16.0)[..., None]
        colours = colours * clear + np.asarray(_HAZE[scene.light], np.float32) * (1 - clear)
    elif scene.weather in ("rain", "snow"):
        colours = _precipitation(scene, colours, size)
    if scene.medium == "drawing":
        colours = _drawn(colours, instances)
    elif scene.medium == "painting":
        image = np.clip(colours, 0, 255).astype(np.uint8)
        colours = (cv2.medianBlur(image, 5 if size > 64 else 3) // 24 * 24 + 10).astype(np.float32)
    return np.clip(cv2.transform(colours, _grading(scene)), 0, 255).astype(np.uint8)


def _grading(scene: Scene) -> NDArray[np.float32]:
    """3 x 4 affine map of RGB: saturation about the grey of each pixel, contrast about middle grey."""
    luma = np.tile(np.array([0.3, 0.59, 0.11]), (3, 1))
    matrix = scene.contrast * (luma + scene.saturation * (np.eye(3) - luma))
    return np.hstack([matrix, np.full((3, 1), 128 * (1 - scene.contrast))]).astype(np.float32)


def _form(scene: Scene, instances: NDArray[np.int64]) -> NDArray[np.float32]:
    """Brighter towards the sun and the top of each object, darker at its foot."""
    size = instances.shape[0]
    centres = ((np.arange(size) + 0.5) / size).astype(np.float32)
    form = np.ones((size, size), np.float32)
    for k, o in enumerate(scene.objects):
        u, v = scene.camera.project(o.x, o.elevation, o.z)
        tall = scene.camera.focal * o.height / _depth(scene, o)
        across = np.float32(0.14 * (2 * scene.sun - 1)) * np.clip((centres - u) / tall, -1, 1)
        along = np.float32(0.16) * np.clip((centres - v + tall / 2) / tall, -0.6, 0.6)
        np.copyto(form, 1 + across[None, :] - along[:, None], where=instances == k + 1)
    return form


def _precipitation(scene: Scene, colours: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Streaks of rain or flakes of snow at places the scene fixes."""
    rng = np.random.default_rng(int(scene.background.variation[4] * 1e6))
    drops = rng.random((60 if scene.weather == "rain" else 90, 3))
    layer = np.zeros((size, size), np.uint8)
    for x, y, strength in drops:
        centre = (round(x * size * 16), round(y * size * 16))
        if scene.weather == "rain":
            end = (centre[0] - round(0.012 * size * 16), centre[1] + round((0.04 + 0.04 * strength) * size * 16))
            cv2.line(layer, centre, end, 110, 1, cv2.LINE_AA, 4)
        else:
            cv2.circle(layer, centre, round((0.004 + 0.006 * strength) * size * 16), 235, -1, cv2.LINE_AA, 4)
    cover = layer.astype(np.float32)[..., None] / 255
    bright = {"day": 250.0, "dusk": 226.0, "night": 176.0}[scene.light]
    if scene.weather == "rain":
        colours = colours * np.float32(0.88)
    return (colours * (1 - cover) + bright * cover).astype(np.float32, copy=False)


def _drawn(colours: NDArray[np.float32], instances: NDArray[np.int64]) -> NDArray[np.float32]:
    """A coloured drawing: pale fills on paper, a dark line around every object."""
    paper = colours * 0.55 + 112
    outline = cv2.morphologyEx(instances.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    paper[outline] = (52, 46, 50)
    return paper


def _keypoints(
    joints: dict[str, tuple[Joint, NDArray[np.float64]]],
    instance: int,
    labels: NDArray[np.uint16],
    instances: NDArray[np.int64],
    size: int,
) -> list[tuple[float, float, float]]:
    """COCO keypoints: (0, 0, 0) outside the image, flag 1 where something hides the joint, 2 where it shows."""
    side = labels.shape[0]
    rows = []
    for name in KEYPOINTS:
        joint, (u, v) = joints[name]
        if not (0 <= u < side and 0 <= v < side):
            rows.append((0.0, 0.0, 0.0))
            continue
        label = int(labels[int(v), int(u)])
        x, y = u * size / side, v * size / side
        shown = label >> PART_BITS == instance and limb_of(label) in joint.parts
        shown = shown and instances[int(y), int(x)] == instance
        # Whole numbers are the centres of pixels, as in COCO; u and v count from the border.
        rows.append((max(x - 0.5, 0.0), max(y - 0.5, 0.0), 2.0 if shown else 1.0))
    return rows

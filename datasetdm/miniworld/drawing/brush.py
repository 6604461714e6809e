"""A brush that paints one object twice at once: its colours and its label."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasetdm.miniworld.palette import Colour

#: A label holds the instance in its upper bits and the body part in its lower six.
PART_BITS = 6
#: The part of what shines by itself and stays bright at night.
GLOWING = (1 << PART_BITS) - 1

#: x and y; a pair or an array of two.
Point = tuple[float, float] | NDArray[np.float64]

# Fractional bits of the fixed-point coordinates that OpenCV draws with.
_SHIFT = 4
_CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 24, endpoint=False)), np.sin(np.linspace(0, 2 * np.pi, 24, endpoint=False))], 1
)
_HALF = np.linspace(-np.pi / 2, np.pi / 2, 7)
_STEPS = np.linspace(0, 1, 5, endpoint=False)
# Catmull-Rom weights of the four neighbouring control points, at five steps along each segment.
_SPLINE = 0.5 * np.stack(
    [
        -_STEPS + 2 * _STEPS**2 - _STEPS**3,
        2 - 5 * _STEPS**2 + 3 * _STEPS**3,
        _STEPS + 4 * _STEPS**2 - 3 * _STEPS**3,
        _STEPS**3 - _STEPS**2,
    ],
    1,
)


class Brush:
    """Paints in the object's own axes: its foot at (0, 0), x to the right, y up, its height 1.

    Args:
        colours: S x S x 3 uint8 canvas, or None to paint labels only.
        labels: S x S uint16 canvas.
        instance: number of the object, from 1.
        origin: canvas coordinates (pixels, continuous) of the foot.
        scale: pixels per unit.
        flip, tilt: as in `SceneObject`.
    """

    def __init__(
        self,
        colours: NDArray[np.uint8] | None,
        labels: NDArray[np.uint16],
        instance: int,
        origin: tuple[float, float],
        scale: float,
        *,
        flip: bool = False,
        tilt: float = 0.0,
    ) -> None:
        self.colours = colours
        self.labels = labels
        self.instance = instance
        self.scale = scale
        cos, sin, side = np.cos(tilt) * scale, np.sin(tilt) * scale, -1.0 if flip else 1.0
        self._matrix = np.array([[side * cos, -side * sin], [-sin, -cos]])
        self._origin = np.asarray(origin, dtype=np.float64)
        self.part = 0

    def to_canvas(self, points: ArrayLike) -> NDArray[np.float64]:
        """N x 2 points of the object's axes in canvas pixels."""
        return np.asarray(points, dtype=np.float64) @ self._matrix + self._origin

    def polygon(self, points: ArrayLike, colour: Colour, *, mark: bool = False) -> None:
        """A filled polygon. A `mark` lies on what is painted already and leaves the label alone."""
        if mark and self.colours is None:
            return
        fixed = _fixed(self.to_canvas(points))
        if self.colours is not None:
            cv2.fillPoly(self.colours, [fixed], colour, cv2.LINE_AA, _SHIFT)
        if not mark:
            cv2.fillPoly(self.labels, [fixed], (self.instance << PART_BITS) | self.part, cv2.LINE_8, _SHIFT)

    def patch(self, points: ArrayLike, colour: Colour) -> None:
        """A mark that is another part of the object: it takes the label where the object is painted already."""
        self.polygon(points, colour, mark=True)
        region = self._region(points)
        if region is None:
            return
        view, inside = self.labels[region.rows, region.columns], region.inside
        view[inside & (view >> PART_BITS == self.instance)] = (self.instance << PART_BITS) | self.part

    def glow(self, points: ArrayLike, colour: Colour) -> None:
        """A polygon that shines by itself."""
        part, self.part = self.part, GLOWING
        self.polygon(points, colour)
        self.part = part

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, *, angle: float = 0.0, mark: bool = False
    ) -> None:
        """A filled ellipse with half axes rx, ry, turned by `angle` radians."""
        self.polygon(ellipse(x, y, rx, ry, angle), colour, mark=mark)

    def limb(self, start: Point, end: Point, r0: float, r1: float, colour: Colour, *, mark: bool = False) -> None:
        """A tapering rod with round ends, radius r0 at its start and r1 at its end."""
        (x0, y0), (x1, y1) = start, end
        along = np.arctan2(y1 - y0, x1 - x0)
        front, back = _HALF + along, _HALF + along + np.pi
        points = np.empty((14, 2))
        points[:7, 0], points[:7, 1] = x1 + r1 * np.cos(front), y1 + r1 * np.sin(front)
        points[7:, 0], points[7:, 1] = x0 + r0 * np.cos(back), y0 + r0 * np.sin(back)
        self.polygon(points, colour, mark=mark)

    def chain(self, points: ArrayLike, radii: ArrayLike, colour: Colour, *, mark: bool = False) -> None:
        """A bent rod: the limb between each two neighbours of `points`."""
        joints, widths = np.asarray(points, dtype=np.float64), np.asarray(radii, dtype=np.float64)
        for k in range(len(joints) - 1):
            self.limb(joints[k], joints[k + 1], widths[k], widths[k + 1], colour, mark=mark)

    def blob(self, points: ArrayLike, colour: Colour, *, mark: bool = False) -> None:
        """A smooth closed shape through the given points (closed Catmull-Rom spline)."""
        self.polygon(spline(points), colour, mark=mark)

    def stripes(
        self, outline: ArrayLike, colour: Colour, *, period: float, angle: float = 0.0, share: float = 0.5
    ) -> None:
        """Stripes inside `outline`, `period` units apart, across the direction `angle`; no label."""
        if self.colours is None:
            return
        region = self._region(outline)
        if region is None:
            return
        across, along = self._axes(region)
        wave = across * np.cos(angle) + along * np.sin(angle)
        self.colours[region.rows, region.columns][region.inside & ((wave / period) % 1 < share)] = colour

    def dots(self, outline: ArrayLike, colour: Colour, *, period: float, radius: float) -> None:
        """Dots on a staggered grid inside `outline`, `period` units apart; no label."""
        if self.colours is None:
            return
        region = self._region(outline)
        if region is None:
            return
        across, along = self._axes(region)
        row = np.floor(along / period)
        dx = (across / period + 0.5 * (row % 2)) % 1 - 0.5
        dy = (along / period) % 1 - 0.5
        dotted = region.inside & (dx**2 + dy**2 < (radius / period) ** 2)
        self.colours[region.rows, region.columns][dotted] = colour

    def _region(self, outline: ArrayLike) -> "_Region | None":
        """The part of the canvas around `outline`; None outside the canvas."""
        points = self.to_canvas(outline)
        side = self.labels.shape[0]
        left, top = np.clip(np.floor(points.min(0)).astype(int), 0, side)
        right, bottom = np.clip(np.ceil(points.max(0)).astype(int) + 1, 0, side)
        if right - left < 1 or bottom - top < 1:
            return None
        inside = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(inside, [_fixed(points - (left, top))], 1, cv2.LINE_8, _SHIFT)
        return _Region(slice(int(top), int(bottom)), slice(int(left), int(right)), inside.view(bool))

    def _axes(self, region: "_Region") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The object's x and y at the pixels of a region."""
        inverse = np.linalg.inv(self._matrix)
        du = np.arange(region.columns.start, region.columns.stop)[None, :] + 0.5 - self._origin[0]
        dv = np.arange(region.rows.start, region.rows.stop)[:, None] + 0.5 - self._origin[1]
        return du * inverse[0, 0] + dv * inverse[1, 0], du * inverse[0, 1] + dv * inverse[1, 1]


@dataclass(frozen=True)
class _Region:
    """Rows and columns of the canvas around a polygon, and which of these pixels lie in it."""

    rows: slice
    columns: slice
    inside: NDArray[np.bool_]


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Canvas pixels in OpenCV's fixed point, whose integers are the centres of pixels where ours are their corners."""
    return ((points - 0.5) * (1 << _SHIFT)).round().astype(np.int32)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> NDArray[np.float64]:
    """24 x 2 outline of an ellipse."""
    points = _CIRCLE * (rx, ry)
    if angle:
        cos, sin = np.cos(angle), np.sin(angle)
        points = points @ np.array([[cos, sin], [-sin, cos]])
    return np.add(points, (x, y))


def spline(points: ArrayLike) -> NDArray[np.float64]:
    """5N x 2 outline of the closed Catmull-Rom spline through N points."""
    control = np.asarray(points, dtype=np.float64)
    index = (np.arange(len(control))[:, None] + np.arange(-1, 3)) % len(control)
    return np.einsum("sk,nkd->nsd", _SPLINE, control[index]).reshape(-1, 2)


def box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    """The four corners of an upright rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def lerp(low: float, high: float, t: float) -> float:
    """`low` at t = 0, `high` at t = 1."""
    return low + (high - low) * t

"""Coloured areas, outlines and lettering on a picture that has its final size already."""

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

LETTERING = 14  # height of a line of lettering in pixels
GOLDEN_RATIO = 0.618033988749895  # steps of it around the colour circle never come close to one another
LEAST_KNOWN = 0.02  # of the pixels of an area that are known, so that the area is shown
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def palette(count: int) -> np.ndarray:
    """Distinct colours, uint8 count x 3; a label has the same colour whatever the count."""
    colours = [colorsys.hsv_to_rgb(index * GOLDEN_RATIO % 1, 0.85, 1.0) for index in range(count)]
    return (255 * np.array(colours).reshape(count, 3)).round().astype(np.uint8)


def fit(array: np.ndarray, side: int) -> np.ndarray:
    """A picture (uint8 H x W x 3) or map (bool or integers, H x W) whose longer side has `side` pixels."""
    scale, size = _scaled(array, side)
    if array.ndim == 3:
        return cv2.resize(array, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    values = array.astype(np.uint8) if array.dtype == bool else array
    return cv2.resize(values, size, interpolation=cv2.INTER_NEAREST).astype(array.dtype)


def fit_colours(picture: np.ndarray, side: int) -> np.ndarray:
    """An annotation as a picture (uint8 H x W x 3, black where nothing is known), its longer side with `side` pixels.

    Returns:
        uint8 h x w x 4, RGB and opacity. Known pixels are not darkened by unknown ones around them, as the points of a
        laser scanner would be.
    """
    scale, size = _scaled(picture, side)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    known = np.asarray(picture.any(axis=2), dtype=np.float32)
    share = cv2.resize(known, size, interpolation=way)
    colours = cv2.resize(picture.astype(np.float32), size, interpolation=way) / np.maximum(share, 1e-3)[..., None]
    opacity = np.where(share > LEAST_KNOWN, 255, 0)
    return np.dstack([np.where(opacity[..., None], colours, 0).round().clip(0, 255), opacity]).astype(np.uint8)


def _scaled(array: np.ndarray, side: int) -> tuple[float, tuple[int, int]]:
    """The factor that gives the longer side `side` pixels, and the (width, height) that result."""
    scale = side / max(array.shape[:2])
    return scale, (max(1, round(array.shape[1] * scale)), max(1, round(array.shape[0] * scale)))


def paint_area(picture: np.ndarray, area: np.ndarray, colour: np.ndarray, opacity: float = 0.25) -> None:
    """Fill an area (bool H x W) lightly, and draw an outline in its colour between a black and a white line.

    One of the three is seen on any ground: a red outline of a red apple has its white and black rims.
    """
    picture[area] = (picture[area] * (1 - opacity) + colour * opacity).astype(np.uint8)
    outline, _ = cv2.findContours(area.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    for shade, thickness in ((BLACK, 5), (WHITE, 3), (colour.tolist(), 2)):
        cv2.drawContours(picture, outline, -1, shade, thickness, cv2.LINE_AA)


#: A place on a picture: x and y, width and height, in pixels.
Box = tuple[int, int, int, int]


def write_all(picture: np.ndarray, texts: Sequence[tuple[str, tuple[int, int]]]) -> None:
    """Write texts at their places (see `write`), the first first; one that would cover an earlier one is left out."""
    taken: list[Box] = []
    for text, place in texts:
        box = plate(picture, text, place)
        if text and not any(_overlap(box, other) for other in taken):
            write(picture, text, place)
            taken.append(box)


def plate(picture: np.ndarray, text: str, place: tuple[int, int]) -> Box:
    """The ground of a text: its lower left corner is at `place` (x, y), or as near to it as the picture allows."""
    _, _, right, bottom = map(int, lettering().getbbox(text))
    width, height = right + 6, bottom + 4
    x = int(np.clip(place[0], 0, max(0, picture.shape[1] - width)))
    y = int(np.clip(place[1] - height, 0, max(0, picture.shape[0] - height)))
    return x, y, width, height


def write(picture: np.ndarray, text: str, place: tuple[int, int]) -> None:
    """Write white text on a black plate; see `plate`."""
    x, y, width, height = plate(picture, text, place)
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=BLACK)
    draw.text((x + 3, y + 1), text, font=lettering(), fill=WHITE)
    picture[:] = np.asarray(canvas)


def _overlap(one: Box, other: Box) -> bool:
    return all(one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2] for axis in (0, 1))


@lru_cache(maxsize=1)
def lettering() -> ImageFont.FreeTypeFont:
    """Pillow's own font, so that pictures are the same on every machine."""
    font = ImageFont.load_default(size=LETTERING)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def top_of(area: np.ndarray) -> tuple[int, int]:
    """Where the lettering of an object goes: the upper left corner (x, y) of an area (bool H x W) that is not empty."""
    rows, columns = np.nonzero(area)
    return int(columns.min()), int(rows.min())


def core_of(area: np.ndarray) -> tuple[int, int]:
    """The one pixel (x, y) of an area (bool H x W) that is farthest from its border."""
    depth = cv2.distanceTransform(np.pad(area, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    return int(column), int(row)

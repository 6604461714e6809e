"""Annotations painted over images, and as drawings for a page: the same colours, places and texts."""

import base64
import io
import re
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.reports.layers import css_palette, layer, outline
from datasetdm.reports.overlays import SIDE, overlay
from datasetdm.reports.paint import LETTERING, fit_colours, lettering, paint_area, palette, write
from tests.annotations.test_depth_map import ramp
from tests.annotations.test_instances import CATEGORIES, SIZE, apart
from tests.annotations.test_persons import COUPLE, PERSON
from tests.annotations.test_persons import SIZE as PERSONS_SIZE
from tests.annotations.test_semantic_map import CATEGORIES as SEMANTIC_CATEGORIES
from tests.annotations.test_semantic_map import scene


def grey(size: tuple[int, int]) -> np.ndarray:
    return np.full((*size, 3), 90, dtype=np.uint8)


def filled(colour: np.ndarray) -> np.ndarray:
    return (90 * 0.75 + colour * 0.25).astype(np.uint8)


@pytest.mark.parametrize("size", [(24, 32), (480, 640), (900, 333)])
def test_pictures_have_one_size_whatever_the_image_has(size: tuple[int, int]) -> None:
    picture = overlay(Instances.empty(*size), grey(size), CATEGORIES)
    assert max(picture.shape) == SIDE and picture.shape[0] == pytest.approx(SIDE * size[0] / max(size), abs=1)


def test_a_category_has_its_colour_wherever_it_stands_in_the_list() -> None:
    """The object on the right is the second star in one picture, and the first and only object in another."""
    image, target = grey(SIZE), apart(labels=(0, 2, 2))
    factor = SIDE / SIZE[1]
    row, column = int(6 * factor), int(28 * factor)  # inside, away from outline and lettering
    for chosen in (np.array([0, 1, 2]), np.array([2])):
        picture = overlay(target.select(chosen), image, CATEGORIES)
        np.testing.assert_array_equal(picture[row, column], filled(palette(3)[2]))
    assert (image == 90).all()
    drawn = layer(target.select(np.array([2])), CATEGORIES)["areas"]
    assert [(area["colour"], area["text"]) for area in drawn] == [(2, "star")]


def test_an_outline_is_seen_on_its_own_colour() -> None:
    """A red mask on a red apple: the rims are black and white, and the colour between them stays."""
    colour = palette(1)[0]
    picture = np.tile(colour, (60, 60, 1))
    area = np.zeros((60, 60), dtype=bool)
    area[15:45, 15:45] = True
    paint_area(picture, area, colour)
    across = picture[30, 8:22].astype(int)
    brightness = across.sum(axis=1)
    assert brightness.min() < 250 and brightness.max() > 550
    assert (picture[30, 30] == colour).all()


def test_colours_are_told_apart_and_do_not_depend_on_their_number() -> None:
    np.testing.assert_array_equal(palette(80)[:7], palette(7))
    twelve = palette(12).astype(int)
    apart_from = np.abs(twelve[:, None] - twelve[None]).sum(axis=2)[~np.eye(12, dtype=bool)]
    assert apart_from.min() > 50
    assert css_palette(1) == [f"#{palette(1)[0, 0]:02x}{palette(1)[0, 1]:02x}{palette(1)[0, 2]:02x}"]


def test_lettering_can_be_read() -> None:
    """Capital letters of ten pixels, white on black, at the size at which the picture is shown."""
    picture = np.full((60, 200, 3), 128, np.uint8)
    write(picture, "HE", (3, 50))
    white = np.argwhere((picture == 255).all(axis=2))
    assert np.ptp(white[:, 0]) + 1 >= 0.6 * LETTERING
    assert (picture == 0).any() and lettering().size == LETTERING
    write(picture, "far out", (199, 0))  # is moved into the picture
    assert (picture[:, 150:] == 255).any()


def test_a_semantic_map_has_a_colour_for_each_category_and_leaves_the_image_alone() -> None:
    image = grey(SIZE)
    picture = overlay(scene(), image, SEMANTIC_CATEGORIES)
    assert (image == 90).all()
    factor = SIDE / SIZE[1]
    assert tuple(picture[-1, 0]) == (90, 90, 90)
    assert tuple(picture[-1, -1]) == (30, 30, 30)
    for label, (row, column) in ((1, (10.5, 3.5)), (2, (20.5, 17.5))):
        found = picture[int(row * factor), int(column * factor)]
        np.testing.assert_array_equal(found, filled(palette(3)[label]))
    drawn = layer(scene(), SEMANTIC_CATEGORIES)
    assert [(area["colour"], area["text"]) for area in drawn["areas"]] == [(1, "box"), (2, "disc")]
    assert "ignored" in drawn


def test_near_is_warm_and_the_unknown_black() -> None:
    target = ramp()
    known = target.valid_mask.copy()
    known[:, 0] = False
    picture = DepthMap(depth=target.depth, valid_mask=known).picture().astype(int)
    assert picture[-1, 5, 0] > picture[-1, 5, 2] and picture[0, 5, 2] > picture[0, 5, 0]  # red below, blue above
    assert not picture[:, 0].any()
    assert not DepthMap(depth=target.depth, valid_mask=~known & False).picture().any()


def test_depth_is_shown_next_to_its_image_and_laid_over_it_on_a_page() -> None:
    picture = overlay(ramp(), grey(SIZE), CATEGORIES)
    assert picture.dtype == np.uint8 and picture.shape == (SIDE * SIZE[0] // SIZE[1], 2 * SIDE, 3)
    assert (picture[:, :SIDE] == 90).all() and (picture[:, SIDE:] != 90).any()
    url = layer(ramp(), CATEGORIES)["picture"]
    with Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) as opened:
        shown = np.array(opened.convert("RGBA")).astype(int)
    assert (shown[..., 3] == 255).all() and np.abs(shown[..., :3] - ramp().picture()).mean() < 10


def test_points_of_a_laser_keep_their_colours_when_the_picture_shrinks() -> None:
    points = np.zeros((100, 300, 3), np.uint8)
    points[50::3, ::3] = (200, 100, 50)
    shown = fit_colours(points, 60)
    assert shown.shape == (20, 60, 4)
    assert (shown[:9, :, 3] == 0).all()
    np.testing.assert_array_equal(shown[12:-1, 1:-1], np.broadcast_to((200, 100, 50, 255), (7, 58, 4)))


def test_persons_have_skeletons_and_the_image_is_left_alone() -> None:
    image = grey(PERSONS_SIZE)
    picture = overlay(COUPLE, image, [PERSON])
    assert (image == 90).all()
    factor = max(picture.shape) / max(PERSONS_SIZE)
    bare = replace(COUPLE, keypoints=np.zeros_like(COUPLE.keypoints))
    changed = (picture != overlay(bare, image, [PERSON])).any(axis=2)
    for x, y, _ in COUPLE.keypoints.reshape(-1, 3):
        assert changed[int((y + 0.5) * factor), int((x + 0.5) * factor)]
    assert overlay(COUPLE.select(np.zeros(2, dtype=bool)), image, [PERSON]).shape == picture.shape
    drawn = layer(COUPLE, [PERSON])
    assert len(drawn["dots"]) == (COUPLE.keypoints[..., 2] > 0).sum() and len(drawn["areas"]) == 2
    assert {line["colour"] for line in drawn["lines"]} > {"#ff8c00", "#3cd23c"}


@pytest.mark.parametrize("size", [(40, 60), (700, 500)])
def test_an_outline_encloses_its_area_and_leaves_out_its_holes(size: tuple[int, int]) -> None:
    area = np.zeros(size, dtype=bool)
    height, width = size
    area[height // 4 : height // 2, width // 4 : width // 2] = True
    area[height // 3 : height // 3 + 4, width // 3 : width // 3 + 4] = False
    drawn = np.zeros(size, np.uint8)
    rings = [np.array(_points(ring), np.int32) for ring in outline(area).split("Z") if ring]
    cv2.fillPoly(drawn, rings, 1)
    assert len(rings) == 2
    assert (drawn.astype(bool) != area).mean() < 0.02


def test_what_is_no_annotation_is_refused() -> None:
    for show in (lambda: overlay(3, grey(SIZE), CATEGORIES), lambda: layer(3, CATEGORIES)):
        with pytest.raises(TypeError, match="int is not an annotation"):
            show()


def _points(ring: str) -> Any:
    return [[int(part) for part in pair] for pair in re.findall(r"[ML](\d+) (\d+)", ring)]

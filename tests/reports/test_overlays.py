from dataclasses import replace

import numpy as np

from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.reports.overlays import overlay
from datasetdm.reports.paint import palette
from tests.annotations.test_depth_map import ramp
from tests.annotations.test_instances import CATEGORIES, SIZE, apart
from tests.annotations.test_persons import COUPLE, PERSON
from tests.annotations.test_persons import SIZE as PERSONS_SIZE
from tests.annotations.test_semantic_map import CATEGORIES as SEMANTIC_CATEGORIES
from tests.annotations.test_semantic_map import scene


def grey(size: tuple[int, int]) -> np.ndarray:
    return np.full((*size, 3), 90, dtype=np.uint8)


def test_every_object_is_shown_and_the_image_left_alone() -> None:
    image, target = grey(SIZE), apart()
    picture = overlay(target, image, CATEGORIES)
    assert (image == 90).all()
    factor = picture.shape[0] // SIZE[0]
    assert picture.shape == (SIZE[0] * factor, SIZE[1] * factor, 3)
    centres = [np.argwhere(mask).mean(axis=0).astype(int) for mask in target.masks]
    colours = {tuple(picture[row * factor, column * factor].tolist()) for row, column in centres}
    assert len(colours) == 3
    assert tuple(picture[-1, 0].tolist()) == (90, 90, 90)
    assert overlay(Instances.empty(*SIZE), image, CATEGORIES).shape == picture.shape


def test_a_semantic_map_has_a_colour_for_each_category_and_leaves_the_image_alone() -> None:
    image = grey(SIZE)
    picture = overlay(scene(), image, SEMANTIC_CATEGORIES)
    assert (image == 90).all()
    factor = picture.shape[0] // SIZE[0]
    assert picture.shape == (SIZE[0] * factor, SIZE[1] * factor, 3)
    assert tuple(picture[-1, 0]) == (90, 90, 90)
    assert tuple(picture[-1, -1]) == (30, 30, 30)
    for label, (row, column) in ((1, (11, 3)), (2, (21, 17))):
        colour = (90 * 0.5 + palette(3)[label] * 0.5).astype(np.uint8)
        np.testing.assert_array_equal(picture[row * factor, column * factor], colour)
    for top, left in ((2, 2), (10, 16)):  # lettering is the only grey inside the areas
        inside = picture[top * factor : (top + 10) * factor, left * factor : (left + 12) * factor].astype(int)
        assert ((inside.max(axis=2) - inside.min(axis=2) < 10) & (inside.min(axis=2) > 150)).any()


def test_near_is_warm_and_the_unknown_black() -> None:
    target = ramp()
    known = target.valid_mask.copy()
    known[:, 0] = False
    picture = DepthMap(depth=target.depth, valid_mask=known).picture().astype(int)
    assert picture[-1, 5, 0] > picture[-1, 5, 2] and picture[0, 5, 2] > picture[0, 5, 0]  # red below, blue above
    assert not picture[:, 0].any()
    assert not DepthMap(depth=target.depth, valid_mask=~known & False).picture().any()


def test_depth_is_shown_next_to_its_image() -> None:
    picture = overlay(ramp(), grey(SIZE), CATEGORIES)
    assert picture.dtype == np.uint8 and picture.shape == (384, 1024, 3)
    assert (picture[:, :512] == 90).all() and (picture[:, 512:] != 90).any()


def test_persons_have_skeletons_and_the_image_is_left_alone() -> None:
    image = grey(PERSONS_SIZE)
    picture = overlay(COUPLE, image, [PERSON])
    assert (image == 90).all() and picture.shape[0] % PERSONS_SIZE[0] == 0
    factor = picture.shape[0] // PERSONS_SIZE[0]
    bare = replace(COUPLE, keypoints=np.zeros_like(COUPLE.keypoints))
    changed = (picture != overlay(bare, image, [PERSON])).any(axis=2)
    for x, y, _ in COUPLE.keypoints.reshape(-1, 3):
        assert changed[int((y + 0.5) * factor), int((x + 0.5) * factor)]
    assert overlay(COUPLE.select(np.zeros(2, dtype=bool)), image, [PERSON]).shape == picture.shape

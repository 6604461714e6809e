"""The rendered labels are exact and agree with each other."""

import cv2
import numpy as np
import pytest

from datasetdm.annotations.persons import KEYPOINTS
from datasetdm.errors import DatasetDMError
from datasetdm.miniworld import (
    STUFF,
    STUFF_INDEX,
    THING_BY_NAME,
    THING_INDEX,
    THINGS,
    Render,
    Scene,
    render,
    sample_scene,
)
from datasetdm.miniworld.drawing import DRAWINGS
from datasetdm.miniworld.drawing.person import person_view
from datasetdm.miniworld.layout import MAX_DEPTH
from datasetdm.miniworld.scene import MIN_VISIBLE_AREA

NUM_SCENES = 60


@pytest.fixture(scope="module")
def world() -> list[tuple[Scene, Render]]:
    cv2.setNumThreads(1)
    scenes = [
        sample_scene(np.random.default_rng([5, k]), ("web", "coco")[k % 2], ("train", "test")[k % 3 == 0])
        for k in range(NUM_SCENES)
    ]
    return [(scene, render(scene)) for scene in scenes]


def test_catalog_is_rich_and_has_coco_ids() -> None:
    ids = [category.id for category in (*THINGS, *STUFF)]
    assert len(THINGS) >= 20
    assert len(STUFF) >= 4
    assert len(set(ids)) == len(ids)
    assert {name: THING_BY_NAME[name].id for name in ("person", "dog", "clock")} == {
        "person": 1,
        "dog": 18,
        "clock": 85,
    }
    assert set(DRAWINGS) == set(THING_BY_NAME)


def test_same_seed_same_picture_and_labels() -> None:
    first, second = (render(sample_scene(np.random.default_rng(3), "web")) for _ in range(2))
    for name in ("image", "masks", "semantic_map", "depth", "keypoints"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    other = render(sample_scene(np.random.default_rng(4), "web"))
    assert not np.array_equal(first.image, other.image)


def test_shapes_types_and_alignment(world: list[tuple[Scene, Render]]) -> None:
    for scene, picture in world:
        count = len(scene.objects)
        assert picture.image.shape == (128, 128, 3)
        assert picture.image.dtype == np.uint8
        assert picture.masks.shape == (count, 128, 128)
        assert picture.object_indices.tolist() == list(range(count))
        assert picture.category_ids.tolist() == [THING_BY_NAME[o.category].id for o in scene.objects]
        persons = [k for k, o in enumerate(scene.objects) if o.category == "person"]
        assert picture.person_indices.tolist() == persons
        assert picture.keypoints.shape == (len(persons), 17, 3)


def test_masks_are_disjoint_and_large_enough(world: list[tuple[Scene, Render]]) -> None:
    for _, picture in world:
        assert (picture.masks.sum(0) <= 1).all()
        assert (picture.masks.sum((1, 2)) >= MIN_VISIBLE_AREA).all()


def test_semantic_map_follows_the_masks(world: list[tuple[Scene, Render]]) -> None:
    for scene, picture in world:
        for mask, o in zip(picture.masks, scene.objects, strict=True):
            assert (picture.semantic_map[mask] == THING_INDEX[o.category]).all()
        outside = ~picture.masks.any(0)
        assert (picture.semantic_map[outside] < len(STUFF)).all()


def test_nearer_objects_hide_farther_ones(world: list[tuple[Scene, Render]]) -> None:
    for scene, _ in world:
        depths = [scene.camera.depth(o.elevation, o.z) for o in scene.objects]
        assert depths == sorted(depths, reverse=True)


def test_depth_is_metric(world: list[tuple[Scene, Render]]) -> None:
    """Objects have the depth of their foot; ground gets nearer downwards; only the sky is not valid."""
    for scene, picture in world:
        for mask, o in zip(picture.masks, scene.objects, strict=True):
            np.testing.assert_allclose(picture.depth[mask], scene.camera.depth(o.elevation, o.z), rtol=1e-5)
        sky = picture.semantic_map == STUFF_INDEX["sky"]
        np.testing.assert_array_equal(picture.valid_mask, ~sky)
        assert picture.depth.max() <= MAX_DEPTH * 1.2
        bare = ~picture.masks.any(0)
        for column in range(0, 128, 16):
            ground = picture.depth[bare[:, column] & picture.valid_mask[:, column], column]
            assert (np.diff(ground) <= 1e-3).all() or scene.background.beyond == "wall"


def test_ground_depth_is_that_of_the_plane() -> None:
    """A ray through a ground pixel meets the plane at the rendered depth."""
    scene = next(
        s
        for s in (sample_scene(np.random.default_rng([8, k]), "coco") for k in range(50))
        if s.background.kind == "winter"
    )
    picture = render(scene)
    ground = picture.semantic_map == STUFF_INDEX["snow"]
    rows = np.nonzero(ground)[0]
    camera = scene.camera
    slope = ((rows + 0.5) / 128 - 0.5) / camera.focal
    depth = picture.depth[ground]
    drop = depth * (np.cos(camera.pitch) * slope + np.sin(camera.pitch))
    np.testing.assert_allclose(drop, camera.height, rtol=1e-3)


def test_mask_heights_follow_depth_and_size() -> None:
    """A whole bottle is as high in pixels as focal * height / depth says."""
    checked = 0
    for k in range(400):
        scene = sample_scene(np.random.default_rng([9, k]), "coco")
        if len(scene.objects) != 1 or scene.objects[0].category not in ("bottle", "chair", "bus"):
            continue
        o, mask = scene.objects[0], render(scene).masks[0]
        rows = np.nonzero(mask.any(1))[0]
        if rows[0] == 0 or rows[-1] == 127:
            continue
        expected = 128 * scene.camera.focal * o.height / scene.camera.depth(0.0, o.z)
        assert abs(rows[-1] - rows[0] + 1 - expected) <= 2.5
        checked += 1
    assert checked >= 3


def test_keypoints_carry_correct_flags(world: list[tuple[Scene, Render]]) -> None:
    seen = {0: 0, 1: 0, 2: 0}
    for _, picture in world:
        for points, person in zip(picture.keypoints, picture.person_indices, strict=True):
            for x, y, flag in points:
                seen[int(flag)] += 1
                if flag == 0:
                    assert (x, y) == (0, 0)
                    continue
                assert 0 <= x < 128
                assert 0 <= y < 128
                if flag == 2:
                    assert picture.masks[person][int(y), int(x)]
    assert seen[1] > 0
    assert seen[2] > seen[1]


def test_left_and_right_agree_with_the_view() -> None:
    """Who faces us has the left shoulder on our right, who turns the back on our left."""
    left, right = KEYPOINTS.index("left_shoulder"), KEYPOINTS.index("right_shoulder")
    views = set()
    for k in range(400):
        scene = sample_scene(np.random.default_rng([10, k]), "coco")
        persons = [o for o in scene.objects if o.category == "person"]
        if not persons:
            continue
        for o, points in zip(persons, render(scene).keypoints, strict=True):
            view = person_view(o)
            if view == "side" or points[left, 2] == 0 or points[right, 2] == 0:
                continue
            views.add(view)
            assert (points[left, 0] > points[right, 0]) == (view == "front")
            if view == "back":
                assert points[KEYPOINTS.index("nose"), 2] < 2
    assert views == {"front", "back"}


def test_other_sizes_show_the_same_scene(world: list[tuple[Scene, Render]]) -> None:
    for scene, full in world[:16]:
        small = render(scene, 64)
        halved = cv2.resize(full.image, (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(small.image.astype(float) - halved).mean() < 12
        for index, mask in zip(small.object_indices, small.masks, strict=True):
            blown_up = mask.repeat(2, 0).repeat(2, 1)
            overlap = (blown_up & full.masks[index]).sum() / (blown_up | full.masks[index]).sum()
            assert overlap > 0.5


def test_scenes_are_varied() -> None:
    scenes = [sample_scene(np.random.default_rng([11, k]), "web") for k in range(300)]
    assert {o.category for s in scenes for o in s.objects} == set(THING_BY_NAME)
    assert {s.light for s in scenes} == {"day", "dusk", "night"}
    assert {s.weather for s in scenes} == {"clear", "rain", "fog", "snow"}
    assert {s.medium for s in scenes} == {"photo", "drawing", "painting"}
    assert any(not s.objects for s in scenes)
    assert max(len(s.objects) for s in scenes) <= 6


def test_unknown_names_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DatasetDMError, match="distribution"):
        sample_scene(rng, "imagenet")
    with pytest.raises(DatasetDMError, match="split"):
        sample_scene(rng, "coco", "val")

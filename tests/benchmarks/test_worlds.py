import numpy as np
import pytest

from benchmarks.backbone.words import PHRASES, conditions, said
from benchmarks.backbone.worlds import categories_of, take_shot, take_shots
from datasetdm.miniworld import sample_scene, write_caption


def test_a_shot_is_the_same_every_time_and_in_no_other_stream() -> None:
    first, again = take_shot("prompts", 1, seed=3), list(take_shots("prompts", 2, seed=3))[1]
    other = take_shot("reference", 1, seed=3)
    assert np.array_equal(first.sample.image, again.sample.image) and first.sample.caption == again.sample.caption
    assert not np.array_equal(first.sample.image, other.sample.image)


def test_objects_of_a_shot_are_those_of_its_scene() -> None:
    shot = take_shot("prompts", 0, seed=0)
    names = [categories_of("coco")[label].name for label in shot.sample.target.labels]
    assert sorted(names) == sorted(o.category for o in shot.scene.objects)


def test_categories_stand_in_the_order_of_their_ids() -> None:
    ids = [category.id for category in categories_of("coco")]
    assert ids == sorted(ids) and len(ids) == 22


@pytest.mark.parametrize("distribution", ["coco", "web"])
def test_what_captions_say_is_understood(distribution: str) -> None:
    rng = np.random.default_rng(0)
    places = 0
    for _ in range(60):
        scene = sample_scene(rng, distribution)
        words = said(scene, write_caption(scene, rng))
        assert all(value in PHRASES[aspect] for aspect, value in conditions(scene).items())
        places += "place" in words
        if scene.light != "day":
            assert words["light"] == scene.light
    assert places > 45


def test_what_is_unsaid_is_not_asked_for() -> None:
    scene = next(one.scene for one in take_shots("prompts", 50, seed=0) if one.scene.light == "day")
    assert said(scene, "a red car") == {}
    assert said(scene, "a red car in daylight") == {"light": "day"}

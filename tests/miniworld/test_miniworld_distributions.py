"""Each benchmark's world is what its name says."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

from datasetdm.miniworld import DISTRIBUTIONS, Render, Scene, render, sample_scene, vocabulary, write_caption
from datasetdm.miniworld.distributions import style_splits
from datasetdm.miniworld.drawing.person import BODY_PARTS, person_view

BENCHMARKS = ("street", "room", "figure", "long_tail")


@cache
def _scene(distribution: str, k: int, split: str) -> Scene:
    return sample_scene(np.random.default_rng([31, k]), distribution, split)


def _scenes(distribution: str, count: int, split: str = "train") -> list[Scene]:
    return [_scene(distribution, k, split) for k in range(count)]


@pytest.fixture(scope="module")
def figures() -> list[tuple[Scene, Render]]:
    return [(scene, render(scene)) for scene in _scenes("figure", 50)]


@pytest.mark.parametrize("distribution", ["street", "room", "figure"])
def test_every_category_occurs_and_no_other(distribution: str) -> None:
    scenes = _scenes(distribution, 50)
    assert {o.category for scene in scenes for o in scene.objects} == set(DISTRIBUTIONS[distribution].categories)
    assert {scene.medium for scene in scenes} == {"photo"}
    assert {scene.background.kind for scene in scenes} <= set(DISTRIBUTIONS[distribution].settings)


@pytest.mark.parametrize("distribution", BENCHMARKS)
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_styles_are_held_out(distribution: str, split: str) -> None:
    for scene in _scenes(distribution, 15, split):
        assert all(style_splits(o.style) == (split, split) for o in scene.objects)


@pytest.mark.parametrize("distribution", BENCHMARKS)
def test_captions_need_no_new_word(distribution: str) -> None:
    words = set(vocabulary())
    for k, scene in enumerate(_scenes(distribution, 40)):
        caption = write_caption(scene, np.random.default_rng(k))
        assert set(caption.replace(",", "").split()) <= words


def test_streets_have_a_road_with_vehicles_on_it() -> None:
    seen = Counter()
    for scene in _scenes("street", 50):
        assert scene.background.kind == "street"
        assert scene.background.path is not None
        start, drift, half = scene.background.path
        for o in scene.objects:
            offset = abs(o.x - (start + drift * o.z))
            seen[o.category] += 1
            if o.category in ("car", "bus"):
                assert offset < half
            elif o.category != "person":
                assert offset > half
    assert min(seen[name] for name in DISTRIBUTIONS["street"].categories) > 5


def test_rooms_are_indoors_and_furnished() -> None:
    scenes = _scenes("room", 50)
    assert {scene.background.beyond for scene in scenes} == {"wall"}
    assert np.mean([len(scene.objects) for scene in scenes]) > 2.5


def test_a_figure_is_one_whole_large_person_from_all_sides(figures: list[tuple[Scene, Render]]) -> None:
    views = Counter(person_view(scene.objects[0]) for scene, _ in figures)
    assert set(views) == {"front", "back", "side"}
    for scene, picture in figures:
        assert [o.category for o in scene.objects] == ["person"]
        mask = picture.masks[0]
        assert not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
        rows = np.nonzero(mask.any(1))[0]
        assert rows[-1] - rows[0] > 0.5 * len(mask)


def test_the_long_tail_is_long() -> None:
    """The categories of `coco`, a few of them in most images and many in hardly any."""
    counts = Counter(name for scene in _scenes("long_tail", 200) for name in {o.category for o in scene.objects})
    assert set(counts) <= set(DISTRIBUTIONS["coco"].categories) == set(DISTRIBUTIONS["long_tail"].categories)
    ordered = [count for _, count in counts.most_common()]
    assert ordered[0] > 100
    assert sum(count > 20 for count in ordered) < 5
    assert sum(count <= 5 for count in ordered) > 5


def test_body_parts_fill_the_person_and_nothing_else(figures: list[tuple[Scene, Render]]) -> None:
    seen: set[str] = set()
    for _, picture in figures:
        assert picture.body_parts.dtype == np.uint8
        np.testing.assert_array_equal(picture.body_parts > 0, picture.masks[0])
        seen |= {BODY_PARTS[value] for value in np.unique(picture.body_parts)}
    assert seen == set(BODY_PARTS)
    for scene in _scenes("coco", 30):
        picture = render(scene)
        persons = picture.masks[picture.person_indices].any(0)
        np.testing.assert_array_equal(picture.body_parts > 0, persons)


def test_body_parts_lie_where_they_belong(figures: list[tuple[Scene, Render]]) -> None:
    """Hair above the trunk, shoes at the bottom, no face from behind, clothes in the colour that the caption says."""
    for scene, picture in figures:
        o = scene.objects[0]
        parts = {name: picture.body_parts == index for index, name in enumerate(BODY_PARTS)}
        row = {name: float(np.nonzero(mask)[0].mean()) for name, mask in parts.items() if mask.any()}
        assert row["hair"] < row["top"] < row["footwear"]
        assert parts["face"].any() == (person_view(o) != "back")
        assert parts["headwear"].any() == (o.style[7] < 0.2)
        for name, paint in (("top", o.rgb), ("pants", o.accent)):
            if scene.light == "day" and np.ptp(paint) > 90:
                assert np.corrcoef(np.median(picture.image[parts[name]], axis=0), paint)[0, 1] > 0.9


def test_visible_face_keypoints_lie_on_the_head(figures: list[tuple[Scene, Render]]) -> None:
    checked = 0
    head = [BODY_PARTS.index(name) for name in ("hair", "face", "skin", "headwear")]
    for _, picture in figures:
        for x, y, flag in picture.keypoints[0][:5]:
            if flag == 2:
                checked += 1
                assert picture.body_parts[int(y), int(x)] in head
    assert checked > 50

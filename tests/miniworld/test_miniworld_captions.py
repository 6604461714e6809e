"""Captions keep to their vocabulary and, for the benchmark, to the facts."""

import re
from collections import Counter

import numpy as np
import pytest

from datasetdm.miniworld import THINGS, Scene, sample_scene, vocabulary, write_caption, write_captions
from datasetdm.miniworld.captions import NUMBERS

_COUNTS = {word: number for number, word in NUMBERS.items()} | {"a": 1, "an": 1}
_COLOURS = "red|orange|yellow|green|blue|purple|pink|brown|black|white|gray|teal"


def _scenes(distribution: str, count: int) -> list[Scene]:
    return [sample_scene(np.random.default_rng([21, k]), distribution) for k in range(count)]


def _stated(caption: str) -> Counter[str]:
    """Objects of each category that a caption states."""
    stated: Counter[str] = Counter()
    for category in THINGS:
        names = sorted({category.name, category.plural}, key=len, reverse=True)
        pattern = rf"\b({'|'.join(_COUNTS)}) (?:(?:{_COLOURS}) )?(?:{'|'.join(names)})\b"
        for word in re.findall(pattern, caption):
            stated[category.name] += _COUNTS[word]
    return stated


@pytest.mark.parametrize("distribution", ["web", "coco"])
def test_captions_use_the_vocabulary_alone(distribution: str) -> None:
    words = set(vocabulary())
    for k, scene in enumerate(_scenes(distribution, 80)):
        for caption in write_captions(scene, np.random.default_rng(k), 3):
            assert re.fullmatch(r"[a-z]+(,? [a-z]+)*", caption), caption
            assert set(re.findall("[a-z]+", caption)) <= words


def test_vocabulary_is_small_sorted_and_names_every_thing() -> None:
    words = vocabulary()
    assert words == sorted(set(words))
    assert len(words) < 400
    for category in THINGS:
        assert set(f"{category.name} {category.plural}".split()) <= set(words)


def test_counts_agree_with_the_scene() -> None:
    for k, scene in enumerate(_scenes("coco", 150)):
        caption = write_caption(scene, np.random.default_rng(k))
        assert _stated(caption) == Counter(o.category for o in scene.objects), caption


def test_web_captions_sometimes_leave_something_out() -> None:
    missing = 0
    for k, scene in enumerate(_scenes("web", 300)):
        stated = _stated(write_caption(scene, np.random.default_rng(k)))
        truth = Counter(o.category for o in scene.objects)
        assert stated <= truth
        missing += stated != truth
    assert 3 < missing < 60


def test_colours_agree_with_the_scene() -> None:
    for k, scene in enumerate(_scenes("coco", 100)):
        caption = write_caption(scene, np.random.default_rng(k))
        colours = {o.colour for o in scene.objects}
        named = set(re.findall(rf"\b({_COLOURS})\b", caption))
        assert named <= colours, caption


def test_phrasing_varies() -> None:
    scene = next(s for s in _scenes("coco", 40) if len(s.objects) == 3)
    assert len(set(write_captions(scene, np.random.default_rng(0), 30))) > 15

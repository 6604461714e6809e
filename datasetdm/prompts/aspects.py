"""What a prompt says besides the objects: place, light, weather, and how something looks."""

from collections.abc import Sequence

import numpy as np

from datasetdm.prompts.mentions import any_of
from datasetdm.prompts.scenes import COLOURS, LIGHTS, PEOPLE, SCENES, WEATHERS

#: Aspect -> value -> the phrases that say it.
ASPECTS: dict[str, dict[str, tuple[str, ...]]] = {
    "place": {name: scene.places for name, scene in SCENES.items()},
    "light": {phrase: (phrase,) for phrase in LIGHTS},
    "weather": {phrase: (phrase,) for phrase in WEATHERS},
    "attribute": {phrase: (phrase,) for phrase in (*COLOURS, *PEOPLE)},
}


def aspect_values() -> list[tuple[str, str]]:
    """(aspect, value) of each column of `find_aspects`."""
    return [(aspect, value) for aspect, values in ASPECTS.items() for value in values]


def aspect_shares() -> np.ndarray:
    """float64, A: the share of prompts that each value would have if all values of its aspect were equally common."""
    return np.array([1 / len(ASPECTS[aspect]) for aspect, _ in aspect_values()])


def find_aspects(prompts: Sequence[str]) -> np.ndarray:
    """Which values each prompt mentions, bool N x A."""
    patterns = [any_of(ASPECTS[aspect][value]) for aspect, value in aspect_values()]
    found = [[bool(pattern.search(prompt)) for pattern in patterns] for prompt in prompts]
    return np.array(found, dtype=bool).reshape(len(prompts), len(patterns))

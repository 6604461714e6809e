"""Prompts that do not match their image, so that the decoder does not copy its labels from the text."""

from collections.abc import Iterable, Sequence

import numpy as np

from datasetdm import config
from datasetdm.prompts.mentions import Word, occurrences

GENERIC_PROMPT = "a photo"


def vary_prompt(prompt: str, words: Sequence[Word], noise: config.PromptNoise, rng: np.random.Generator) -> str:
    """The prompt as it is, an empty one, a generic one, or one with words left out or a wrong word.

    Without this the decoder would copy the labels from the text, and fail on images that do not follow their prompt.
    """
    kinds = np.cumsum([noise.empty, noise.generic, noise.drop_word, noise.wrong_word])
    kind = int(np.searchsorted(kinds, rng.random(), side="right"))
    if kind == 0:
        return ""
    if kind == 1:
        return GENERIC_PROMPT
    spans = dict(zip(words, occurrences(prompt, words), strict=True))
    named = [word for word in words if spans[word]]
    if kind == 2 and named:
        dropped = [word for word in named if rng.random() < 0.5] or [named[int(rng.integers(len(named)))]]
        left = _replaced(prompt, [span for word in dropped for span in spans[word]], "")
        return " ".join(left.split())
    others = [word for word in words if word not in named]
    if kind == 3 and named and others:
        wrong = others[int(rng.integers(len(others)))].noun
        return _replaced(prompt, spans[named[int(rng.integers(len(named)))]], wrong)
    return prompt


def _replaced(text: str, spans: Iterable[tuple[int, int]], other: str) -> str:
    """The text with the other word at each of the spans."""
    for start, stop in sorted(spans, reverse=True):
        text = text[:start] + other + text[stop:]
    return text

import numpy as np
import pytest

from datasetdm import config
from datasetdm.prompts.mentions import Word
from datasetdm.transforms.prompt_noise import vary_prompt

WORDS = ("dog", "person", "fire hydrant", "bus")
NAMED = [*map(Word, WORDS)]
NO_NOISE = config.PromptNoise(empty=0, generic=0, drop_word=0, wrong_word=0)
PROMPT = "a photo of two dogs, some people and a fire hydrant"


def test_prompts_without_noise_stay():
    rng = np.random.default_rng(0)
    assert vary_prompt(PROMPT, NAMED, NO_NOISE, rng) == PROMPT


def only(kind: str) -> config.PromptNoise:
    return NO_NOISE.model_copy(update={kind: 1.0})


def test_kinds_of_prompt_noise():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert vary_prompt(PROMPT, NAMED, only("empty"), rng) == ""
        assert vary_prompt(PROMPT, NAMED, only("generic"), rng) == "a photo"
        dropped = vary_prompt(PROMPT, NAMED, only("drop_word"), rng)
        assert sum(word in dropped for word in ("dogs", "people", "fire hydrant")) < 3
        wrong = vary_prompt(PROMPT, NAMED, only("wrong_word"), rng)
        assert "bus" in wrong
        assert sum(word in wrong for word in ("dogs", "people", "fire hydrant")) == 2
        assert vary_prompt("an empty street", NAMED, only("wrong_word"), rng) == "an empty street"


def test_shares_of_prompt_noise():
    rng = np.random.default_rng(0)
    noise = config.PromptNoise(empty=0.2, generic=0.3, drop_word=0.1, wrong_word=0.1)
    prompts = [vary_prompt(PROMPT, NAMED, noise, rng) for _ in range(2000)]
    assert prompts.count("") / 2000 == pytest.approx(0.2, abs=0.04)
    assert prompts.count("a photo") / 2000 == pytest.approx(0.3, abs=0.04)
    assert prompts.count(PROMPT) / 2000 == pytest.approx(0.3, abs=0.04)

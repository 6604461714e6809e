"""What the constraints do to the probabilities of the next token."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from datasetdm.prompts.language_model.constraints import NameOneOf, constraints, line_ends


@pytest.fixture
def tokenizer(tiny_model: Path):
    return AutoTokenizer.from_pretrained(tiny_model)


def after(tokenizer, text: str, *words: str) -> tuple[torch.Tensor, list[int]]:
    """The logits, all zero before, of the token that follows a text; the tokens that end a line."""
    ends = [0, *line_ends(tokenizer)]
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    scores = NameOneOf(tokenizer, words, ends, 0)(ids, torch.zeros(1, len(tokenizer)))
    return scores[0], ends


def test_a_line_ends_only_after_the_word(tokenizer) -> None:
    scores, ends = after(tokenizer, "A red car", "okapi", "okapis")
    assert torch.isinf(scores[ends]).all() and scores.max() > 0
    for text in ("A red okapi", "Two okapis in the rain"):
        scores, ends = after(tokenizer, text, "okapi", "okapis")
        assert not scores.any(), text


def test_a_word_that_has_begun_goes_on(tokenizer) -> None:
    word = tokenizer(" fire hydrant", add_special_tokens=False).input_ids
    assert len(word) > 1
    scores, _ = after(tokenizer, "A" + tokenizer.decode(word[:1]), "fire hydrant")
    assert torch.isfinite(scores).nonzero().flatten().tolist() == [word[1]]


def test_the_start_of_a_longer_word_does_not_count(tokenizer) -> None:
    scores, ends = after(tokenizer, "A red carpet", "car")
    assert torch.isinf(scores[ends]).all()
    scores, ends = after(tokenizer, "A red car, red carpet", "car")
    assert not scores.any()


def test_what_a_word_needs_is_not_banned(tokenizer) -> None:
    ends = [0, *line_ends(tokenizer)]
    (bracket,) = tokenizer("(", add_special_tokens=False).input_ids
    assert [bracket] in constraints(tokenizer, ["bow"], ends, 0)["bad_words_ids"]
    assert [bracket] not in constraints(tokenizer, ["bow (weapon)"], ends, 0)["bad_words_ids"]

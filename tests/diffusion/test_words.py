"""Which tokens of a prompt belong to a word."""

import json
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

from datasetdm.diffusion.words import PromptTokens, unknown_words, word_token_weights
from datasetdm.miniworld.pretraining.tokenizer import build_tokenizer
from datasetdm.prompts.mentions import Word

VOCABULARY = "a two dog dogs hot traffic light lights and people person on , buses bus"


@pytest.fixture
def words_tokenizer():
    return build_tokenizer(VOCABULARY.split(), 16)


@pytest.fixture
def clip_tokenizer(tmp_path: Path) -> CLIPTokenizer:
    """CLIP's own byte-level BPE with almost no merges, so that every word is several tokens."""
    letters = "abcdefghijklmnopqrstuvwxyz,"
    tokens = [*letters, *(letter + "</w>" for letter in letters), "do", "dog</w>", "<|startoftext|>", "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: k for k, token in enumerate(tokens)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nd o\ndo g</w>\n")
    return CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), model_max_length=40)


def positions(tokenizer, prompt: str, words: list[str]) -> list[list[int]]:
    """Token positions of each word; checks on the way that they weigh the same and add up to one."""
    parts = [PromptTokens(tokenizer, tokenizer.model_max_length)]
    weights = word_token_weights(parts, [prompt], [*map(Word, words)])[0]
    found = [row.nonzero().flatten().tolist() for row in weights]
    for row, places in zip(weights, found, strict=True):
        if places:
            assert row.sum().item() == pytest.approx(1.0) and row[places].unique().numel() == 1
    return found


def test_words_plurals_and_names_of_two_words(words_tokenizer) -> None:
    prompt = "two dogs, a traffic light and people"
    found = positions(words_tokenizer, prompt, ["dog", "traffic light", "person", "bus"])
    assert found == [[2], [5, 6], [8], []]


def test_every_occurrence_counts(words_tokenizer) -> None:
    assert positions(words_tokenizer, "a dog and two dogs and a DOG", ["dog"]) == [[2, 5, 8]]


def test_a_word_inside_a_longer_one_belongs_to_the_longer(words_tokenizer) -> None:
    assert positions(words_tokenizer, "a hot dog and a dog", ["dog", "hot dog"]) == [[6], [2, 3]]
    assert positions(words_tokenizer, "a hot dog", ["dog"]) == [[3]]


def test_parts_of_words_do_not_match(words_tokenizer) -> None:
    assert positions(words_tokenizer, "a lighthouse", ["light"]) == [[]]


def test_words_of_several_byte_pairs(clip_tokenizer: CLIPTokenizer) -> None:
    # start, a, dog, and = 3 tokens, t w o, d o g s: "dogs" has no merge of its own.
    ids = clip_tokenizer("a dog and two dogs").input_ids
    pieces = clip_tokenizer.convert_ids_to_tokens(ids)
    found = positions(clip_tokenizer, "a dog and two dogs", ["dog", "two"])
    assert [pieces[k] for k in found[0]] == ["dog</w>", "do", "g", "s</w>"]
    assert [pieces[k] for k in found[1]] == ["t", "w", "o</w>"]


def test_words_beyond_the_models_length_are_not_there(words_tokenizer) -> None:
    prompt = "a dog " + "and " * 20 + "two people"
    assert positions(words_tokenizer, prompt, ["dog", "person"]) == [[2], []]


def test_unknown_words_are_reported(words_tokenizer, clip_tokenizer: CLIPTokenizer) -> None:
    assert unknown_words(words_tokenizer, ["two zebras on a Dog", "an okapi"]) == ["an", "okapi", "zebras"]
    assert unknown_words(words_tokenizer, ["two dogs"]) == []

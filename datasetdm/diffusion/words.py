"""The words of a prompt as the tokenizer has them: which tokens are a word's, and which words have no token."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from datasetdm.prompts.mentions import Word, occurrences


@dataclass(frozen=True)
class PromptTokens:
    """Some of the states that a network sees of a prompt: those of one text encoder.

    Attributes:
        tokenizer: None for states that stand for no text.
        length: their number; prompts are cut off or padded to it.
        preprocess: what the pipeline makes of a prompt before it is tokenized.
    """

    tokenizer: Any | None
    length: int
    preprocess: Callable[[str], str] = str


@dataclass(frozen=True)
class TextInput:
    """A text encoder of a family, as far as a folder tells without loading it.

    Attributes:
        tokenizer: name of its tokenizer's folder.
        length: tokens of a prompt that it reads; None: as many as its tokenizer says.
        by_word: whether the network sees its tokens, so that attention to words is read off them; otherwise it sees a
            single vector for the prompt.
    """

    tokenizer: str
    length: int | None = None
    by_word: bool = True


def word_token_weights(parts: Sequence[PromptTokens], prompts: Sequence[str], words: Sequence[Word]) -> torch.Tensor:
    """Which of the states of a prompt belong to which word, float32, B x W x T.

    Row (b, w) is 1/n at the n tokens of all occurrences of word w (or its plural, or a synonym) in prompt b, and zero
    elsewhere: all zero if the prompt does not mention the word. T is the sum of the parts' lengths. If one word lies
    inside another ("dog" in "hot dog"), the tokens belong to the longer one.
    """
    marks = torch.cat([_marked(part, prompts, words) for part in parts], dim=-1)
    return marks / marks.sum(-1, keepdim=True).clamp(min=1.0)


def _marked(part: PromptTokens, prompts: Sequence[str], words: Sequence[Word]) -> torch.Tensor:
    """1 at the tokens of each word and 0 elsewhere, B x W x length."""
    marks = torch.zeros(len(prompts), len(words), part.length)
    if part.tokenizer is None:
        return marks
    prompts = [part.preprocess(prompt) for prompt in prompts]
    encoded = part.tokenizer(
        prompts, padding="max_length", truncation=True, max_length=part.length, return_offsets_mapping=True
    )
    for b, (prompt, offsets) in enumerate(zip(prompts, encoded["offset_mapping"], strict=True)):
        for w, spans in enumerate(occurrences(prompt, words)):
            for t, (start, end) in enumerate(offsets):
                if any(start < stop and end > begin for begin, stop in spans):
                    marks[b, w, t] = 1.0
    return marks


def words_in(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall(r"\w+", text.lower())


def unknown_words(tokenizer: Any, texts: Iterable[str]) -> list[str]:
    """Words of the texts that the tokenizer has no token for, sorted; empty for a tokenizer without such a token."""
    if tokenizer.unk_token_id is None:
        return []
    words = {word for text in texts for word in words_in(text)}
    return sorted(
        word for word in words if tokenizer.unk_token_id in tokenizer(word, add_special_tokens=False).input_ids
    )

"""Which words a prompt mentions: where, in which tokens, and in what number, found by matching text."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import torch

from datasetdm.prompts.english import number_before, plural


def word_forms(word: str) -> tuple[str, ...]:
    """The word and its English plural, in lower case; of several words ("traffic light") the last one changes."""
    word = " ".join(word.lower().split())
    return tuple(dict.fromkeys((word, plural(word))))


def word_token_weights(tokenizer: Any, prompts: Sequence[str], words: Sequence[str]) -> torch.Tensor:
    """Which tokens belong to which word, float32, B x W x T.

    Row (b, w) is 1/n at the n tokens of all occurrences of word w (or its plural) in prompt b, and zero elsewhere: all
    zero if the prompt does not mention the word. T is the tokenizer's `model_max_length`. If one word lies inside
    another ("dog" in "hot dog"), the tokens belong to the longer one.
    """
    encoded = tokenizer(
        list(prompts),
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_offsets_mapping=True,
    )
    weights = torch.zeros(len(prompts), len(words), tokenizer.model_max_length)
    for b, (prompt, offsets) in enumerate(zip(prompts, encoded["offset_mapping"], strict=True)):
        for w, spans in enumerate(occurrences(prompt, words)):
            for t, (start, end) in enumerate(offsets):
                if any(start < stop and end > begin for begin, stop in spans):
                    weights[b, w, t] = 1.0
    return weights / weights.sum(-1, keepdim=True).clamp(min=1.0)


def asked_counts(prompt: str, words: Sequence[str]) -> dict[int, int | None]:
    """How many objects the prompt asks for of each word (by index) that it mentions; None if it does not say.

    "two dogs, a red car and some birds" asks for two dogs, one car, and birds in any number; "no cats" for none, and
    the word is left out.
    """
    counts = {
        index: _sum([_asked(prompt, words[index], span) for span in spans])
        for index, spans in enumerate(occurrences(prompt, words))
        if spans
    }
    return {index: count for index, count in counts.items() if count != 0}


def _asked(prompt: str, word: str, span: tuple[int, int]) -> int | None:
    """The number in front of one occurrence of the word."""
    count = number_before(prompt[: span[0]])
    _, *plurals = word_forms(word)
    return None if count == 1 and prompt[slice(*span)].lower() in plurals else count  # "a photo showing dogs"


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def occurrences(prompt: str, words: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Character spans of each word or its plural in the prompt, those inside a longer asked word's span left out."""
    found = [[match.span() for match in _pattern(word).finditer(prompt)] for word in words]
    everything = [span for spans in found for span in spans]

    def inside_longer(span: tuple[int, int]) -> bool:
        return any(a <= span[0] and span[1] <= b and b - a > span[1] - span[0] for a, b in everything)

    return [[span for span in spans if not inside_longer(span)] for spans in found]


@cache  # Python's own cache of patterns is too small for the words of LVIS
def _pattern(word: str) -> re.Pattern[str]:
    forms = sorted(word_forms(word), key=len, reverse=True)
    alternatives = "|".join(r"[\s_-]+".join(re.escape(part) for part in form.split()) for form in forms)
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)


def unknown_words(tokenizer: Any, prompts: Iterable[str]) -> list[str]:
    """Words of the prompts that the tokenizer has no token for, sorted; empty for a tokenizer without such a token."""
    if tokenizer.unk_token_id is None:
        return []
    words = {word for prompt in prompts for word in re.findall(r"\w+", prompt.lower())}
    return sorted(
        word for word in words if tokenizer.unk_token_id in tokenizer(word, add_special_tokens=False).input_ids
    )

"""The words of a prompt as the tokenizer has them: which tokens are a word's, and which words have no token."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from datasetdm.prompts.mentions import Word, occurrences


def word_token_weights(tokenizer: Any, prompts: Sequence[str], words: Sequence[Word]) -> torch.Tensor:
    """Which tokens belong to which word, float32, B x W x T.

    Row (b, w) is 1/n at the n tokens of all occurrences of word w (or its plural, or a synonym) in prompt b, and zero
    elsewhere: all zero if the prompt does not mention the word. T is the tokenizer's `model_max_length`. If one word
    lies inside another ("dog" in "hot dog"), the tokens belong to the longer one.
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


def unknown_words(tokenizer: Any, texts: Iterable[str]) -> list[str]:
    """Words of the texts that the tokenizer has no token for, sorted; empty for a tokenizer without such a token."""
    if tokenizer.unk_token_id is None:
        return []
    words = {word for text in texts for word in re.findall(r"\w+", text.lower())}
    return sorted(
        word for word in words if tokenizer.unk_token_id in tokenizer(word, add_special_tokens=False).input_ids
    )

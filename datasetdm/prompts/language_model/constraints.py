"""Constraints on what a local language model may write: one line, long enough, that names what it is asked for.

A small model follows examples better than instructions, and now and then forgets what it describes. The constraints act
on the probabilities of the next token, so that the rest of the line fits what was forced.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch

_SHORTEST = 10  # tokens of a line
# What starts a remark about the text, and not a description. With a space, as tokenizers mark the start of a word.
_BANNED = (" I", "I", " AI", " caption", " Caption", " description", " http", " www", "?", " ?", '"', ' "', "(", " (")
_STRENGTH = 0.5  # added per token to the logit of the word that is still missing: it comes where it fits best


def constraints(tokenizer: Any, words: Sequence[str], ends: Sequence[int], start: int) -> dict[str, Any]:
    """Arguments of `generate`: a shortest line, banned words, and one of the words in every line.

    Args:
        tokenizer: of the language model.
        words: what a line has to name, in all its forms.
        ends: the tokens that end a line.
        start: tokens of the text that is continued.
    """
    from transformers import LogitsProcessorList  # takes seconds

    naming = NameOneOf(tokenizer, words, ends, start)
    needed = {*ends, *(token for word in naming.words for token in word)}  # "bow (weapon)" has a bracket
    banned = [tokenizer(text, add_special_tokens=False).input_ids for text in _BANNED]
    # A text of several tokens is left out, as it would need a look at what stands before.
    single = [tokens for tokens in banned if len(tokens) == 1 and tokens[0] not in needed]
    return {
        "min_new_tokens": _SHORTEST,
        **({"bad_words_ids": single} if single else {}),
        "logits_processor": LogitsProcessorList([naming]),
    }


class NameOneOf:
    """A logits processor: no line ends before it has named one of the words, which become likelier with every token.

    Args:
        tokenizer: of the language model.
        words: in all their forms; a line needs one of them.
        ends: the tokens that end a line.
        start: tokens of the text that is continued.
    """

    def __init__(self, tokenizer: Any, words: Sequence[str], ends: Sequence[int], start: int):
        spelt = [tokenizer(f" {word}", add_special_tokens=False).input_ids for word in words]
        self.words = [tokens for tokens in spelt if tokens]
        self.ends = list(ends)
        self.start = start
        pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        # Tokenizers mark the start of a word with a letter beyond ASCII.
        self._goes_on = frozenset(token for token, piece in enumerate(pieces) if re.match("[A-Za-z0-9]", piece))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The logits of the next token, lines x vocabulary."""
        scores = scores.clone()
        for row, tokens in enumerate(input_ids[:, self.start :].tolist()):
            if self.words and not any(self._names(tokens, word) for word in self.words):
                self._ask_for_a_word(scores[row], tokens)
        return scores

    def _names(self, tokens: list[int], word: list[int]) -> bool:
        """Whether the line has the word, and not as the start of a longer one ("pizza" in "pizzaiolo")."""
        starts = (place for place in range(len(tokens)) if tokens[place : place + len(word)] == word)
        ends = (start + len(word) for start in starts)
        return any(end == len(tokens) or tokens[end] not in self._goes_on for end in ends)

    def _ask_for_a_word(self, scores: torch.Tensor, tokens: list[int]) -> None:
        scores[self.ends] = -torch.inf
        if begun := [word for word in self.words if _begun(tokens, word)]:
            # The first tokens of the word stand at the end of the line: the next one has to follow.
            allowed = [word[_begun(tokens, word)] for word in begun]
            kept = scores[allowed].clone()
            scores[:] = -torch.inf
            scores[allowed] = kept
            return
        for first in {word[0] for word in self.words}:
            scores[first] += _STRENGTH * len(tokens)


def _begun(tokens: list[int], word: list[int]) -> int:
    """How many tokens of the word, which is not complete, stand at the end of the line."""
    return next((length for length in range(len(word) - 1, 0, -1) if tokens[-length:] == word[:length]), 0)


def line_ends(tokenizer: Any) -> list[int]:
    """The tokens whose text has a line feed."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return [token for token, text in enumerate(texts) if "\n" in text]

"""What the text encoder of a diffusion model can read: how many tokens, which words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CLIP_TOKENS = 77
_CLIP_TOKENS_PER_WORD = 1.3  # on captions; for a tokenizer that is not on this machine
_SMALL_VOCABULARY = 5000  # entries; larger vocabularies hold parts of words and spell any word
_LONGEST = 512  # tokens; tokenizers without a limit of their own name an astronomical one
_MARKS = 2  # tokens at the start and the end


@dataclass(frozen=True, kw_only=True)
class TextLimits:
    """The limits of a text encoder.

    Attributes:
        tokenizer: its tokenizer; None: CLIP's length is assumed, and that any word can be spelt.
        length: tokens that it reads; None: as many as its tokenizer says.
    """

    tokenizer: Any | None
    length: int | None = None

    @property
    def max_tokens(self) -> int:
        """How many tokens the text encoder reads, with the marks at the start and the end."""
        if self.length is not None:
            return self.length
        return CLIP_TOKENS if self.tokenizer is None else min(int(self.tokenizer.model_max_length), _LONGEST)

    @property
    def max_words(self) -> int:
        """A number of words that surely fits."""
        room = self.max_tokens - _MARKS
        return room if self.vocabulary else int(room / _CLIP_TOKENS_PER_WORD * 0.9)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words that the text encoder knows, sorted; empty if it can spell any word."""
        if self.tokenizer is None or self.tokenizer.unk_token_id is None or len(self.tokenizer) > _SMALL_VOCABULARY:
            return ()
        return tuple(sorted(word for word in self.tokenizer.get_vocab() if re.fullmatch(r"[^\W_][\w-]*", word)))

    def tokens(self, text: str) -> int:
        """How many tokens the text has, with the marks at the start and the end."""
        if self.tokenizer is None:
            return round(len(text.split()) * _CLIP_TOKENS_PER_WORD) + _MARKS
        return len(self._ids(text))

    def fits(self, text: str) -> bool:
        """Whether the text encoder reads all of the text."""
        return self.tokens(text) <= self.max_tokens

    def vocabulary_used(self, texts: Sequence[str]) -> float | None:
        """Share of the tokenizer's tokens that occur in a text, the marks among them; None without a tokenizer."""
        if self.tokenizer is None:
            return None
        return len({token for text in texts for token in self._ids(text)}) / len(self.tokenizer)

    def _ids(self, text: str) -> list[int]:
        # Nothing is cut off here, of which a tokenizer would warn.
        ids: list[int] = self.tokenizer(text, truncation=False, padding=False, verbose=False).input_ids  # type: ignore[misc]
        return ids

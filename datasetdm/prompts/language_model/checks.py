"""Which lines of a language model become prompts, and why the others do not."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from datasetdm.prompts.language_model.chat import CUT

CUT_OFF = "cut off"
ABOUT_ITSELF = "talks about itself or the task"
TOO_SHORT = "too few words"
TOO_LONG = "longer than the text encoder reads"
NOT_MENTIONED = "does not name the category"
UNKNOWN_WORDS = "has words that the text encoder does not know"
NOT_A_SENTENCE = "is no description"
DUPLICATE = "is a duplicate"
SIMILAR = "is nearly a duplicate"
COPIED = "copies an example"

# Jaccard similarity of two lines' words from which they are nearly the same: two words of ten changed.
_SIMILAR = 0.7
_ABOUT_ITSELF = re.compile(
    r"\b(?:as an ai|language model|i(?:['’](?:m|ll|ve)| am| can| cannot| will| hope)|sorry|certainly|let me|you asked|"
    r"as requested|captions?|descriptions?|prompts?|this task|assistant)\b|\bsure[,!.]|\bof course[,!]|"
    r"\bhere(?:['’]s| is| are)\b",
    re.IGNORECASE,
)
_NO_SENTENCE = re.compile(r"[?{}<>\[\]|\\@=]|https?:|www\.|:$|\b(\w+)(?: \1){2,}\b", re.IGNORECASE)
_FILLERS = frozenset(
    (
        *("a", "an", "and", "are", "as", "at", "by", "for", "from", "her", "his", "in", "is", "it", "its", "near"),
        *("of", "on", "the", "their", "there", "they", "to", "while", "with"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A line that is not taken, and why; `detail` may name what is wrong with it."""

    line: str
    reason: str
    detail: str = ""


@dataclass(kw_only=True)
class Checks:
    """The checks of the lines of one table of prompts; they remember which lines were taken.

    Attributes:
        mentioned: the categories that a line names, as they are found again later.
        tokens: how many tokens the text encoder makes of a line.
        unknown: the words of a line that the text encoder does not know.
        max_tokens: how many tokens it reads.
        min_words: shortest line.
        examples: captions that the model was shown, which it is not to repeat.
    """

    mentioned: Callable[[str], Sequence[str]]
    tokens: Callable[[str], int]
    unknown: Callable[[str], Sequence[str]]
    max_tokens: int
    min_words: int
    examples: Sequence[str] = ()
    _taken: dict[str, list[frozenset[str]]] = field(default_factory=dict)
    _all: set[frozenset[str]] = field(default_factory=set)

    def rejection(self, line: str, category: str) -> Rejection | None:
        """Why a line is no prompt for the category; None, and it is remembered, if it is one."""
        found = self._first_problem(line, category)
        if found is None:
            self._taken.setdefault(category, []).append(key := _key(line))
            self._all.add(key)
            return None
        reason, detail = found
        return Rejection(line=line, reason=reason, detail=detail)

    def _first_problem(self, line: str, category: str) -> tuple[str, str] | None:
        if line.endswith(CUT.strip()) or line.endswith("..."):
            return CUT_OFF, ""
        if match := _ABOUT_ITSELF.search(line):
            return ABOUT_ITSELF, match[0]
        if match := _NO_SENTENCE.search(line):
            return NOT_A_SENTENCE, match[0]
        if len(line.split()) < self.min_words:
            return TOO_SHORT, ""
        if category not in self.mentioned(line):
            return NOT_MENTIONED, ""
        if unknown := self.unknown(line):
            return UNKNOWN_WORDS, ", ".join(unknown)
        if (tokens := self.tokens(line)) > self.max_tokens:
            return TOO_LONG, f"{tokens} of {self.max_tokens} tokens"
        return self._repeated(line, category)

    def _repeated(self, line: str, category: str) -> tuple[str, str] | None:
        """Whether a line of any category has the same words, or an example or one of this category nearly the same."""
        key = _key(line)
        if any(_similarity(key, _key(example)) >= _SIMILAR for example in self.examples):
            return COPIED, ""
        if key in self._all:
            return DUPLICATE, ""
        if any(_similarity(key, taken) >= _SIMILAR for taken in self._taken.get(category, ())):
            return SIMILAR, ""
        return None


def _key(line: str) -> frozenset[str]:
    """The words that tell a line from another: without articles and the like, singular and plural alike."""
    words = re.findall(r"\w+", line.lower())
    return frozenset(word.removesuffix("s") for word in words if word not in _FILLERS)


def _similarity(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / max(len(first | second), 1)

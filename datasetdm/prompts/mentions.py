"""Which categories a text mentions, where, and in what number, found by matching its words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from datasetdm.prompts.english import number_before, plural


@dataclass(frozen=True)
class Word:
    """What a text calls a category.

    Attributes:
        noun: the category's own name; prompts and embeddings use it.
        synonyms: other words for it, "puppy" for a dog. A text that has one of them mentions the category, too.
    """

    noun: str
    synonyms: tuple[str, ...] = ()

    @cached_property
    def singulars(self) -> frozenset[str]:
        """The noun and its synonyms, in lower case, with single blanks."""
        return frozenset(map(_plain, (self.noun, *self.synonyms)))

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """All that counts as the word, in lower case: the noun, its English plural, and those of the synonyms.

        Of several words ("traffic light") the last one changes.
        """
        nouns = map(_plain, (self.noun, *self.synonyms))
        return tuple(dict.fromkeys(form for noun in nouns for form in (noun, plural(noun))))


def occurrences(text: str, words: Sequence[Word]) -> list[list[tuple[int, int]]]:
    """Character spans of each word in the text, without those inside a longer one ("dog" in "hot dog")."""
    found = [[match.span() for match in any_of(word.forms).finditer(text)] for word in words]
    everything = [span for spans in found for span in spans]

    def inside_longer(span: tuple[int, int]) -> bool:
        return any(a <= span[0] and span[1] <= b and b - a > span[1] - span[0] for a, b in everything)

    return [[span for span in spans if not inside_longer(span)] for spans in found]


def asked_counts(prompt: str, words: Sequence[Word]) -> dict[int, int | None]:
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


def _asked(prompt: str, word: Word, span: tuple[int, int]) -> int | None:
    """The number in front of one occurrence of the word."""
    count = number_before(prompt[: span[0]])
    several = _plain(prompt[slice(*span)]) not in word.singulars
    return None if count == 1 and several else count  # "a photo showing dogs"


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


@cache  # Python's own cache of patterns is too small for the words of LVIS
def any_of(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of the phrases as whole words, in any case, the longest first; blanks may be hyphens or underscores."""
    longest = sorted(phrases, key=len, reverse=True)
    alternatives = "|".join(r"[\s_-]+".join(re.escape(part) for part in phrase.split()) for phrase in longest)
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)

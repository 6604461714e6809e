"""The English grammar that captions need: articles, plurals, numbers, lists."""

import re
from collections.abc import Sequence

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_IRREGULAR = {
    "person": "people",
    "child": "children",
    "mouse": "mice",
    "goose": "geese",
    "foot": "feet",
    "tooth": "teeth",
    "knife": "knives",
    "leaf": "leaves",
    "shelf": "shelves",
    "loaf": "loaves",
    "wolf": "wolves",
    "calf": "calves",
    "ox": "oxen",
    "bus": "buses",
    "potato": "potatoes",
    "tomato": "tomatoes",
}
# Words in -man that do not mean a man.
_NO_MAN = {"caiman", "german", "human", "ottoman", "roman", "shaman", "talisman"}
# The same word for one and for many, or a thing that cannot be counted.
_UNCHANGED = {"sheep", "fish", "deer", "broccoli", "skis", "scissors", "glasses", "trousers", "grass", "snow", "sand"}
_NO_ARTICLE = {"broccoli", "skis", "scissors", "glasses", "trousers", "grass", "snow", "sand"}
# Spelt with a vowel but spoken with a consonant, and the other way round.
_SPOKEN_CONSONANT = ("uni", "use", "usu", "eu", "one", "once")
_SPOKEN_VOWEL = ("hour", "honest", "heir", "honor", "honour")


# A number before one of these does not count the noun that follows.
_LINKS = {"of", "and", "or", "with", "in", "on", "at", "by", "to", "near", "under", "over", "behind", "beside"}
_MOST_ADJECTIVES = 2


def article(word: str) -> str:
    """`a` or `an`, whichever fits the word that follows."""
    word = word.lower()
    if word.startswith(_SPOKEN_VOWEL):
        return "an"
    # "unidentified" and the like are rare among things; "uni..." as in unicorn or uniform is the rule.
    return "an" if word.startswith(tuple("aeiou")) and not word.startswith(_SPOKEN_CONSONANT) else "a"


def plural(noun: str) -> str:
    """The plural of a noun of one or more words; the last word before a bracket changes."""
    noun, bracket, rest = noun.partition(" (")
    *start, last = noun.split(" ")
    return " ".join([*start, _plural_of_word(last)]) + bracket + rest


def number_word(count: int) -> str:
    """`count` in letters up to twelve, in digits above."""
    return _NUMBERS[count] if 0 <= count < len(_NUMBERS) else str(count)


def counted(count: int, noun: str, adjective: str = "") -> str:
    """`a red car`, `two dogs`, `scissors`; `count` is 1 or more."""
    described = f"{adjective} {noun}" if adjective else noun
    if noun.split(" ")[-1] in _NO_ARTICLE:
        return described
    if count == 1:
        return f"{article(described)} {described}"
    return f"{number_word(count)} {plural(described)}"


def listed(parts: Sequence[str]) -> str:
    """`x`, `x and y`, `x, y and z`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def number_before(text: str) -> int | None:
    """The number at the start of the noun phrase that continues after the text; None if there is none.

    1 of "a photo of a small", 2 of "a cat and two big red", but None of "a group of" or "some".
    """
    for word in reversed(re.findall(r"[\w-]+|[^\w\s]", text.lower())[-1 - _MOST_ADJECTIVES :]):
        if word in ("a", "an"):
            return 1
        if word in _NUMBERS:
            return _NUMBERS.index(word)
        if word.isdecimal():
            return int(word)
        if word in _LINKS or not word[0].isalpha():
            return None
    return None


def _plural_of_word(word: str) -> str:
    if word in _UNCHANGED:
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("man") and word not in _NO_MAN:
        return word[:-3] + "men"
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and len(word) > 1 and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"

"""Other words for categories: from the data set, from the settings, and from the table `synonyms.csv`."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files

from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mentions import Word


def word_of(category: Category) -> Word:
    """What texts call the category."""
    return Word(category.noun, category.synonyms)


def with_synonyms(categories: Sequence[Category], given: Mapping[str, Sequence[str]]) -> tuple[Category, ...]:
    """The categories, each with the words that count as it.

    The settings decide for the categories that they list, an empty list means none. Any other category has the synonyms
    of the data set (LVIS has some) and of the table. A word that is the name of another category, or that two
    categories would have, stands for neither: "couch" is no sofa where both are labelled.

    Args:
        categories: of the data set, with its own synonyms.
        given: `source.synonyms` in params.yaml: name of a category -> synonyms.

    Raises:
        DatasetDMError: the settings name an unknown category, or a word for two categories. It lists all mistakes.
    """
    _check(categories, given)
    nouns = _nouns(categories)
    found = [
        _cleaned(category, given.get(category.name, (*category.synonyms, *_table().get(category.noun.lower(), ()))))
        for category in categories
    ]
    claims = Counter(word for words in found for word in words)

    def kept(category: Category, words: Iterable[str]) -> tuple[str, ...]:
        return tuple(word for word in words if word not in nouns and (claims[word] == 1 or category.name in given))

    return tuple(
        replace(category, synonyms=kept(category, words)) for category, words in zip(categories, found, strict=True)
    )


def _check(categories: Sequence[Category], given: Mapping[str, Sequence[str]]) -> None:
    owners = _nouns(categories)
    known = {category.name: category for category in categories}
    problems = [f"{name} is no category" for name in given if name not in known]
    for name in (name for name in given if name in known):
        for word in _cleaned(known[name], given[name]):
            if (owner := owners.setdefault(word, name)) != name:
                problems.append(f"'{word}' cannot stand for {name}, as it stands for {owner}")
    if problems:
        raise DatasetDMError(
            f"`source.synonyms` in params.yaml: {'; '.join(sorted(problems))}. The categories are: "
            f"{', '.join(sorted(known))}."
        )


def _nouns(categories: Sequence[Category]) -> dict[str, str]:
    """Every category's name and its plural -> the category."""
    return {form: category.name for category in categories for form in Word(category.noun).forms}


def _cleaned(category: Category, words: Iterable[str]) -> tuple[str, ...]:
    """The words in lower case, once each, without LVIS's underscores and remarks: `auto` of `auto_(automobile)`."""
    plain = (" ".join(re.sub(r"\(.*?\)", " ", word.lower().replace("_", " ")).split()) for word in words)
    return tuple(dict.fromkeys(word for word in plain if word and word not in Word(category.noun).forms))


@cache
def _table() -> dict[str, tuple[str, ...]]:
    text = files("datasetdm.prompts").joinpath("synonyms.csv").read_text(encoding="utf-8")
    return {row["category"]: tuple(row["synonyms"].split(";")) for row in csv.DictReader(text.splitlines())}

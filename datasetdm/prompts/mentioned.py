"""Which categories of a data set a text names."""

from collections.abc import Callable, Sequence

from datasetdm.annotations.sample import Category
from datasetdm.prompts.mentions import occurrences
from datasetdm.prompts.synonyms import word_of


def mentions_of(categories: Sequence[Category]) -> Callable[[str], tuple[str, ...]]:
    """A function from a text to the names of the categories that it mentions, in the order of `categories`."""
    words = list(map(word_of, categories))

    def mentioned(text: str) -> tuple[str, ...]:
        found = occurrences(text, words)
        return tuple(category.name for category, spans in zip(categories, found, strict=True) if spans)

    return mentioned

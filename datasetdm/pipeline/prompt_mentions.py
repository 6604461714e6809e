"""Which categories of the benchmark a text names, and in what forms each is found again."""

from collections.abc import Callable, Sequence

from datasetdm.annotations.sample import Category
from datasetdm.prompts.mentions import occurrences
from datasetdm.prompts.synonyms import word_of


def mentions_of(categories: Sequence[Category]) -> Callable[[str], tuple[str, ...]]:
    """A function from a text to the names of the categories that it mentions, in the order of `categories`."""
    words = [*map(word_of, categories)]

    def mentioned(text: str) -> tuple[str, ...]:
        found = occurrences(text, words)
        return tuple(category.name for category, spans in zip(categories, found, strict=True) if spans)

    return mentioned


def forms_of(category: Category) -> tuple[str, ...]:
    """All words that count as the category, singular and plural."""
    return word_of(category).forms

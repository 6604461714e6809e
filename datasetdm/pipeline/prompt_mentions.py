"""Which categories of the benchmark a text names, and in what forms each is found again."""

from collections.abc import Callable, Sequence

from datasetdm.annotations.sample import Category
from datasetdm.diffusion.words import occurrences, word_forms


def mentions_of(categories: Sequence[Category]) -> Callable[[str], tuple[str, ...]]:
    """A function from a text to the names of the categories that it mentions, in the order of `categories`."""
    words = [category.noun for category in categories]

    def mentioned(text: str) -> tuple[str, ...]:
        found = occurrences(text, words)
        return tuple(category.name for category, spans in zip(categories, found, strict=True) if spans)

    return mentioned


def synonyms_of(category: Category) -> tuple[str, ...]:
    """Other nouns that count as the category."""
    return ()


def forms_of(category: Category) -> tuple[str, ...]:
    """All words that count as the category, singular and plural."""
    return tuple(form for noun in (category.noun, *synonyms_of(category)) for form in word_forms(noun))

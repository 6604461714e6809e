"""Which lines are taken, and the reasons for the others."""

import pytest

from datasetdm.annotations.sample import Category
from datasetdm.prompts.language_model import checks
from datasetdm.prompts.language_model.checks import Checks
from datasetdm.prompts.mentioned import mentions_of
from datasetdm.prompts.text_limits import TextLimits

CATEGORIES = [Category(id=1, name="okapi"), Category(id=2, name="fire_hydrant"), Category(id=3, name="hot dog")]
EXAMPLE = "A tall okapi eats green leaves from a low branch in the morning."


@pytest.fixture
def check() -> Checks:
    limits = TextLimits(tokenizer=None)
    known = {"polka"}
    return Checks(
        mentioned=mentions_of(CATEGORIES),
        tokens=limits.tokens,
        unknown=lambda line: sorted(known & set(line.lower().split())),
        max_tokens=limits.max_tokens,
        min_words=5,
        examples=[EXAMPLE],
    )


@pytest.mark.parametrize(
    ("line", "category"),
    [
        ("An okapi drinks from a river in the forest.", "okapi"),
        ("Three Okapis and a fire hydrant in the rain", "okapi"),
        ("Two red fire hydrants stand on a snowy pavement.", "fire_hydrant"),
        ("A person watches, sure of herself, an okapi at night.", "okapi"),
        ("There is an okapi where the road ends.", "okapi"),
    ],
)
def test_descriptions_are_taken(check: Checks, line: str, category: str) -> None:
    assert check.rejection(line, category) is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Sure! Here are ten photos of an okapi", checks.ABOUT_ITSELF),
        ("As an AI language model I cannot see an okapi.", checks.ABOUT_ITSELF),
        ("Here are some descriptions of an okapi in the wild:", checks.ABOUT_ITSELF),
        ("I'm sorry, but an okapi is not what you want.", checks.ABOUT_ITSELF),
        ("What is an okapi doing in the forest?", checks.NOT_A_SENTENCE),
        ("See https://okapi.example for a photo of an okapi there", checks.NOT_A_SENTENCE),
        ("An okapi okapi okapi okapi okapi okapi okapi", checks.NOT_A_SENTENCE),
        ("An okapi runs.", checks.TOO_SHORT),
        ("A striped animal drinks from a river in the forest.", checks.NOT_MENTIONED),
        ("An okapical cafe in the rain at night with lamps", checks.NOT_MENTIONED),
        ("An okapi in a polka dress stands in the rain.", checks.UNKNOWN_WORDS),
        ("An okapi " + "and a tree " * 30, checks.TOO_LONG),
        ("An okapi stands in the tall grass and …", checks.CUT_OFF),
        ("A tall okapi eats green leaves from low branches in the morning.", checks.COPIED),
    ],
)
def test_others_are_rejected_with_the_reason(check: Checks, line: str, reason: str) -> None:
    rejection = check.rejection(line, "okapi")
    assert rejection is not None and (rejection.line, rejection.reason) == (line, reason)


def test_a_word_inside_a_longer_category_does_not_count() -> None:
    mentioned = mentions_of([*CATEGORIES, Category(id=4, name="dog")])
    assert mentioned("Two hot dogs on a paper plate") == ("hot dog",)


def test_repetitions_are_found(check: Checks) -> None:
    first = "An okapi drinks cold water from a small river in the green forest at dawn."
    assert check.rejection(first, "okapi") is None
    again = check.rejection("The okapi drinks cold water from the small river in a green forest at dawn.", "okapi")
    assert again is not None and again.reason == checks.DUPLICATE
    nearly = check.rejection("Two okapis drink cold water from a small river in the green forest at noon.", "okapi")
    assert nearly is not None and nearly.reason == checks.SIMILAR
    assert check.rejection("An okapi sleeps under a wide tree beside a small river at noon.", "okapi") is None
    # Similar is measured within a category; the same line is a duplicate in any.
    both = "An okapi and a fire hydrant stand side by side in the rain."
    assert check.rejection(both, "okapi") is None
    other = check.rejection(both, "fire_hydrant")
    assert other is not None and other.reason == checks.DUPLICATE

"""Grammar of captions."""

import pytest

from datasetdm.prompts.english import article, counted, listed, number_word, plural


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dog", "a"),
        ("apple", "an"),
        ("Umbrella", "an"),
        ("unicorn", "a"),
        ("hour", "an"),
        ("orange car", "an"),
        ("one", "a"),
        ("", "a"),
    ],
)
def test_article(word: str, expected: str) -> None:
    assert article(word) == expected


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("dog", "dogs"),
        ("person", "people"),
        ("sheep", "sheep"),
        ("mouse", "mice"),
        ("knife", "knives"),
        ("bus", "buses"),
        ("bench", "benches"),
        ("toothbrush", "toothbrushes"),
        ("wine glass", "wine glasses"),
        ("cherry", "cherries"),
        ("toy", "toys"),
        ("potted plant", "potted plants"),
        ("skis", "skis"),
        ("y", "ys"),
    ],
)
def test_plural(noun: str, expected: str) -> None:
    assert plural(noun) == expected


def test_numbers_and_lists() -> None:
    assert (number_word(2), number_word(12), number_word(13)) == ("two", "twelve", "13")
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a and b", "a, b and c")


def test_counted() -> None:
    assert counted(1, "dog") == "a dog"
    assert counted(1, "car", "orange") == "an orange car"
    assert counted(3, "dining table", "brown") == "three brown dining tables"
    assert counted(1, "scissors", "red") == counted(2, "scissors", "red") == "red scissors"
    assert counted(1, "broccoli") == "broccoli"

"""Which categories a text mentions, and how many of each."""

import pytest

from datasetdm.prompts import english
from datasetdm.prompts.mentions import Word, asked_counts, occurrences

DOG = Word("dog", ("puppy", "german shepherd"))
PERSON = Word("person", ("man", "woman"))


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("dog", ("dog", "dogs")),
        ("bus", ("bus", "buses")),
        ("person", ("person", "people")),
        ("sheep", ("sheep",)),
        ("traffic light", ("traffic light", "traffic lights")),
        ("Knife", ("knife", "knives")),
        ("teddy", ("teddy", "teddies")),
        ("snowman", ("snowman", "snowmen")),
    ],
)
def test_plurals(word: str, forms: tuple[str, ...]) -> None:
    assert Word(word).forms == forms


def test_plurals_are_those_of_the_prompts() -> None:
    for noun in ("giraffe", "tomato", "wolf", "bow (weapon)", "human", "ottoman", "fireman"):
        assert english.plural(noun) in Word(noun).forms
    assert english.plural("human") == "humans" and english.plural("fireman") == "firemen"
    assert asked_counts("two wolves and a hot dog", [*map(Word, ["wolf", "dog", "hot dog"])]) == {0: 2, 2: 1}


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("a photo of two big brown dogs and a red car", {0: 2, 1: 1}),
        ("an image of a sheep beside a car and a second car", {1: 2, 2: 1}),
        ("3 dogs in the snow", {0: 3}),
        ("some dogs, a flock of sheep and cars", {0: None, 1: None, 2: None}),
        ("a photo with dogs", {0: None}),  # no number: "a" is of the photo
        ("a photo of sheep", {2: None}),
        ("a dog, dogs and a car without traffic", {0: None, 1: 1}),
        ("no dogs, one car", {1: 1}),
        ("a hot dog", {3: 1}),
        ("snow", {}),
        ("dog", {0: None}),
    ],
)
def test_how_many_a_prompt_asks_for(prompt: str, asked: dict[int, int | None]) -> None:
    assert asked_counts(prompt, [*map(Word, ["dog", "car", "sheep", "hot dog"])]) == asked


def test_numbers_of_written_prompts_are_read_back() -> None:
    nouns = ["dog", "bus", "person", "traffic light", "sheep"]
    for count in range(1, 13):
        for noun in nouns:
            for adjective in ("", "small red"):
                prompt = f"a photo of {english.counted(count, noun, adjective)} on a road"
                assert asked_counts(prompt, [*map(Word, nouns)]) == {nouns.index(noun): count}


def test_a_synonym_counts_as_the_word() -> None:
    text = "A puppy beside two German Shepherds, a man and three women"
    assert asked_counts(text, [DOG, PERSON]) == {0: 3, 1: 4}
    assert [text[slice(*span)] for span in occurrences(text, [DOG])[0]] == ["puppy", "German Shepherds"]
    assert asked_counts("a photo with puppies", [DOG]) == {0: None}


def test_a_word_inside_a_synonym_of_another_belongs_to_the_longer() -> None:
    oven, microwave = Word("oven", ("stove",)), Word("microwave", ("microwave oven",))
    assert asked_counts("a microwave oven on a stove", [oven, microwave]) == {0: 1, 1: 1}

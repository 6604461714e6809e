"""Prompts from templates."""

import re
from collections import Counter
from typing import Any

import pytest

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.captions import vocabulary
from datasetdm.miniworld.catalog import THINGS
from datasetdm.prompts import write_prompts
from datasetdm.prompts.english import plural
from datasetdm.prompts.mentions import Word, asked_counts
from datasetdm.prompts.scenes import LIGHTS, WEATHERS

MINIWORLD = [Category(id=thing.id, name=thing.name, supercategory=thing.supercategory) for thing in THINGS]


def _settings(**changes: Any) -> config.Prompts:
    return config.Prompts.model_validate({"num_prompts": 400, **changes})


def test_words_are_those_of_the_miniworld() -> None:
    words = {word for prompt in write_prompts(MINIWORLD, _settings())["prompt"] for word in re.findall(r"\w+", prompt)}
    assert words <= set(vocabulary())


def test_plurals_are_those_of_the_miniworld() -> None:
    assert {thing.name: plural(thing.name) for thing in THINGS} == {thing.name: thing.plural for thing in THINGS}


def test_prompts_name_exactly_their_categories() -> None:
    frame = write_prompts(MINIWORLD, _settings())
    forms = {category.name: rf"\b({category.name}|{plural(category.name)})\b" for category in MINIWORLD}
    for prompt, names in zip(frame["prompt"], frame["categories"], strict=True):
        assert {name for name, form in forms.items() if re.search(form, prompt)} == set(names.split(";"))


def test_categories_are_named_equally_often_at_every_length() -> None:
    frame = write_prompts(MINIWORLD, _settings())
    for length in (100, 200, 400):
        counts = Counter(name for names in frame["categories"][:length] for name in names.split(";"))
        assert len(counts) == len(MINIWORLD)
        assert max(counts.values()) - min(counts.values()) <= 3


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_share_of_plain_prompts(share: float) -> None:
    frame = write_prompts(MINIWORLD, _settings(plain_fraction=share))
    plain = frame["kind"] == "plain"
    assert plain.mean() == pytest.approx(share, abs=0.01)
    assert plain[:40].mean() == pytest.approx(share, abs=0.03)
    assert all(re.fullmatch(r"a photo of an? [a-z ]+", prompt) for prompt in frame["prompt"][plain])


def test_seeds() -> None:
    frame = write_prompts(MINIWORLD, _settings(seed=3))
    assert frame.equals(write_prompts(MINIWORLD, _settings(seed=3)))
    assert not frame.equals(write_prompts(MINIWORLD, _settings(seed=4)))
    assert write_prompts(MINIWORLD, _settings(seed=3, num_prompts=50)).equals(frame[:50])
    assert frame["id"].tolist() == list(range(400))


@pytest.mark.parametrize("most", [1, 2, 6])
def test_number_of_objects(most: int) -> None:
    numbers = {"a": 1, "an": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
    totals = Counter()
    for prompt in write_prompts(MINIWORLD, _settings(max_objects=most, plain_fraction=0.0))["prompt"]:
        # Articles of everything that is no object.
        text = re.sub(
            r"an? (photo|picture|image) of|(in|by|on|under|of) (a|the|an) |in a (red|blue|white) shirt", "", prompt
        )
        totals[sum(numbers.get(word, 0) for word in text.replace(",", "").split())] += 1
    assert set(totals) == set(range(1, most + 1))


def test_prompts_are_short_enough_for_a_small_text_encoder() -> None:
    frame = write_prompts(MINIWORLD, _settings(num_prompts=2000))
    assert max(len(re.findall(r"\w+|,", prompt)) for prompt in frame["prompt"]) <= 30


def test_unknown_categories_need_no_tables() -> None:
    categories = [Category(id=1, name="widget"), Category(id=5, name="engine part")]
    prompts = write_prompts(categories, _settings())["prompt"]
    assert any("widgets" in prompt and "engine part" in prompt for prompt in prompts)
    assert not any("  " in prompt or prompt != prompt.strip() for prompt in prompts)


def test_no_categories_is_an_error() -> None:
    with pytest.raises(DatasetDMError, match="no categories"):
        write_prompts([], _settings())


def test_dense_prompts_name_many_objects() -> None:
    frame = write_prompts(MINIWORLD, _settings(min_objects=3, max_objects=5, plain_fraction=0.0))
    words = [Word(category.name) for category in MINIWORLD]
    totals = {sum(asked_counts(prompt, words).values()) for prompt in frame["prompt"]}
    assert totals == {3, 4, 5}


def test_what_a_prompt_loses_when_it_is_too_long() -> None:
    settings = _settings(plain_fraction=0.0, max_objects=2, num_prompts=800)
    whole = write_prompts(MINIWORLD, settings)
    longest = 10
    cut = write_prompts(MINIWORLD, settings, (), lambda text: len(text.split()) <= longest)
    assert cut["categories"].equals(whole["categories"])
    for long, short in zip(whole["prompt"], cut["prompt"], strict=True):
        assert (short == long) == (len(long.split()) <= longest) or len(short.split()) < len(long.split())
    words = [Word(category.name) for category in MINIWORLD]
    assert [asked_counts(text, words) for text in whole["prompt"]] == [
        asked_counts(text, words) for text in cut["prompt"]
    ]
    pairs = set(zip(whole["prompt"], cut["prompt"], strict=True))
    lit = [short for long, short in pairs if short != long and short.endswith((*LIGHTS, *WEATHERS))]
    assert lit and not any(re.search(r"\b(red|blue|white|black|yellow|green|brown) (?!shirt)", short) for short in lit)


def test_what_cannot_be_made_short_enough_keeps_its_objects(warehouse: list[Category]) -> None:
    frame = write_prompts(warehouse, _settings(num_prompts=30, min_objects=4), (), lambda text: False)
    assert frame["prompt"][frame["kind"] == "template"].str.contains("forklift|vest|pallet|hat").all()
    assert not frame["prompt"].str.contains("night|day|evening|sunset|afternoon").any()


def test_candidates_begin_with_the_prompts_themselves() -> None:
    more = write_prompts(MINIWORLD, _settings(num_prompts=50, selection={"candidates": 4}))
    assert len(more) == 200 and more[:50].equals(write_prompts(MINIWORLD, _settings(num_prompts=50)))

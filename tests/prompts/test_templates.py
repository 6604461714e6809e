"""Prompts from templates."""

import re
from collections import Counter

import pytest

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError
from datasetdm.miniworld.captions import vocabulary
from datasetdm.miniworld.catalog import THINGS
from datasetdm.prompts import write_prompts
from datasetdm.prompts.english import plural

MINIWORLD = [Category(id=thing.id, name=thing.name, supercategory=thing.supercategory) for thing in THINGS]


def _settings(**changes: float) -> config.Prompts:
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
            r"an? (photo|picture|image) of|(in|by|on|under) (a|the|an) |in a (red|blue|white) shirt", "", prompt
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

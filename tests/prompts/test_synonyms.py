"""Which other words count as a category."""

import csv
from importlib.resources import files
from pathlib import Path

import pytest

from datasetdm.annotations.sample import Category
from datasetdm.datasets.native import open_split
from datasetdm.errors import DatasetDMError
from datasetdm.prompts.mentions import asked_counts
from datasetdm.prompts.synonyms import with_synonyms, word_of

LVIS = Path(__file__).parents[3] / "shared" / "realdata" / "LVIS"


def named(*names: str, **given: list[str]) -> dict[str, tuple[str, ...]]:
    categories = [Category(id=number, name=name) for number, name in enumerate(names, 1)]
    return {category.name: category.synonyms for category in with_synonyms(categories, given)}


def test_the_table_knows_common_words() -> None:
    found = named("dog", "person", "forklift")
    assert "puppy" in found["dog"] and {"man", "woman", "child"} <= {*found["person"]}
    assert found["forklift"] == ()


def test_the_name_of_another_category_is_no_synonym() -> None:
    assert "couch" in named("sofa")["sofa"]
    assert "couch" not in named("sofa", "couch")["sofa"]
    assert "cyclist" in named("person")["person"]
    assert "rider" not in named("person", "rider")["person"]


def test_a_word_of_two_categories_stands_for_neither() -> None:
    found = named("person", "rider")
    assert "cyclist" not in found["person"] and "cyclist" not in found["rider"]
    assert "motorcyclist" in found["rider"]


def test_settings_replace_what_is_known() -> None:
    found = named("dog", "cat", "forklift", dog=[], forklift=["Lift Truck", "stacker"], cat=["puppy"])
    assert found["dog"] == () and found["forklift"] == ("lift truck", "stacker") and found["cat"] == ("puppy",)
    assert "puppy" not in named("dog", "cat", cat=["puppy"])["dog"]


def test_all_mistakes_of_the_settings_are_listed() -> None:
    with pytest.raises(DatasetDMError) as error:
        named("dog", "cat", bird=["gull"], dog=["pet", "cats"], cat=["pet"])
    message = str(error.value)
    assert "source.synonyms" in message and "bird is no category" in message
    assert "'cats' cannot stand for dog, as it stands for cat" in message and "'pet' cannot stand for cat" in message


def test_synonyms_of_lvis_lose_their_remarks() -> None:
    bow = Category(id=1, name="bow_(weapon)", synonyms=("bow_(weapon)", "longbow"))
    ribbon = Category(id=2, name="bow_(decorative_ribbons)", synonyms=("bow_(decorative_ribbons)",))
    car = Category(id=3, name="car_(automobile)", synonyms=("car_(automobile)", "auto_(automobile)", "automobile"))
    categories = with_synonyms([bow, ribbon, car], {})
    assert [category.synonyms for category in categories] == [("longbow",), (), ("car", "auto", "automobile")]
    assert asked_counts("two cars and a bow", [*map(word_of, categories)]) == {2: 2}


@pytest.mark.skipif(not LVIS.is_dir(), reason=f"{LVIS} is missing")
def test_the_real_lvis_has_synonyms() -> None:
    split = open_split("lvis", LVIS, "val")
    categories = {category.name: category for category in with_synonyms(split.categories, {})}
    assert len(categories) > 1000 and sum(bool(category.synonyms) for category in categories.values()) > 300
    assert "automobile" in categories["car_(automobile)"].synonyms


def test_the_table_is_well_formed() -> None:
    rows = list(csv.DictReader(files("datasetdm.prompts").joinpath("synonyms.csv").read_text().splitlines()))
    names = [row["category"] for row in rows]
    assert len(set(names)) == len(names)
    for row in rows:
        words = row["synonyms"].split(";")
        assert all(word == " ".join(word.lower().split()) and word for word in words), row
        assert len(set(words)) == len(words) and row["category"] not in words, row

import pytest

from datasetdm.miniworld import captions
from datasetdm.prompts.attributes import PHRASES, PLACE, kind_of, slices_of
from datasetdm.prompts.scenes import LIGHTS, SCENES, WEATHERS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a dog on the street at night in the rain", {"light: night", "weather: rain", "place: street"}),
        ("two cars on a rainy day", {"weather: rain"}),  # says nothing of the light
        ("a horse in the snow", {"place: snow"}),  # lies there, does not fall
        ("A man skiing while it snows, during the day", {"weather: snow", "light: day"}),
        ("a train at the station", set()),  # "train" holds "rain"
        ("a pizza on a dining table", set()),
        ("a cup on a table", {"place: table"}),
        ("", set()),
    ],
)
def test_words_say_what_an_image_shows(text: str, found: set[str]) -> None:
    singles = {name for name in slices_of(text) if kind_of(name) != "light and weather"}
    assert singles == found


def test_light_and_weather_together_are_a_slice() -> None:
    assert "light and weather: night, rain" in slices_of("in the rain at night, a bus")
    assert not [name for name in slices_of("a bus at night") if kind_of(name) == "light and weather"]


def test_categories_are_slices() -> None:
    assert slices_of("a photo of a puppy", ["dog"]) == {"category: dog"}


def test_all_that_templates_and_captions_say_is_understood() -> None:
    templates = [*LIGHTS, *WEATHERS, *(place for scene in SCENES.values() for place in scene.places)]
    tables = (captions.LIGHTS, captions.WEATHERS, captions.PLACES)
    written = [text for table in tables for options in table.values() for text in options if text]
    assert [text for text in [*templates, *written] if not slices_of(text)] == ["on the ground"]
    assert PHRASES[PLACE].keys() == SCENES.keys()

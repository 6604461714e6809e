"""Which slices an image belongs to by its words: its categories, light, weather and place.

A slice is a part of a data set that people have a name for, written `kind: value`, such as `category: dog` or
`light and weather: night, rain`. Captions of real images and prompts are read alike, so that a slice that is weak on
one side can be asked for on the other.
"""

from collections.abc import Iterable

from datasetdm.prompts.mentions import any_of
from datasetdm.prompts.scenes import SCENES

LIGHT, WEATHER, PLACE, LIGHT_AND_WEATHER = "light", "weather", "place", "light and weather"
CATEGORY, SIZE = "category", "size"

#: Kind -> value -> the phrases that say so, in lower case. "A rainy day" says nothing of the light, so that "day" alone
#: is no light; and "in the snow" is a place, where "while it snows" is weather.
PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    LIGHT: {
        "day": ("during the day", "daylight", "daytime", "in the morning", "in the afternoon", "at noon"),
        "dusk": ("at dusk", "at dawn", "sunset", "sunrise", "in the evening", "twilight"),
        "night": ("night", "nighttime", "in the dark", "after dark"),
    },
    WEATHER: {
        "clear": ("clear sky", "clear skies", "blue sky", "blue skies", "sunny"),
        "rain": ("rain", "rains", "rainy", "raining", "rainstorm"),
        "fog": ("fog", "foggy", "mist", "misty"),
        "snow": ("it snows", "snowing", "falling snow", "snowfall", "snowstorm"),
    },
    PLACE: {
        "field": ("grass", "field", "meadow", "park"),
        "street": ("road", "street", "highway"),
        "beach": ("beach", "sand", "by the sea"),
        "water": ("water", "lake", "river", "sea", "ocean"),
        "snow": ("in the snow", "on snow", "on the snow", "snowy", "winter field"),
        "room": ("room", "floor", "indoors", "kitchen", "bathroom", "office"),
        "table": ("on a table", "on the table", "on a wooden table", "on top of a table"),
    },
}
assert PHRASES[PLACE].keys() == SCENES.keys()


def slices_of(text: str, categories: Iterable[str] = ()) -> frozenset[str]:
    """The slices that a caption or prompt puts its image in.

    Args:
        text: in English; only the words of `PHRASES` matter.
        categories: names of the categories that the image shows, or that the prompt asks for.
    """
    said = {
        kind: [value for value, phrases in values.items() if any_of(phrases).search(text)]
        for kind, values in PHRASES.items()
    }
    pairs = [f"{light}, {weather}" for light in said[LIGHT] for weather in said[WEATHER]]
    found = {CATEGORY: categories, **said, LIGHT_AND_WEATHER: pairs}
    return frozenset(slice_name(kind, value) for kind, values in found.items() for value in values)


def slice_name(kind: str, value: str) -> str:
    """`category: dog`."""
    return f"{kind}: {value}"


def kind_of(name: str) -> str:
    """`category` of `category: dog`."""
    return name.partition(": ")[0]

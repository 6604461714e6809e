"""Light, weather and place of a scene, where its caption says them."""

from datasetdm.miniworld import Scene
from datasetdm.miniworld.captions import LIGHTS, PLACES, WEATHERS

#: Aspect -> value -> phrases for it in captions. Light and weather may go unsaid (by day and under a clear sky they
#: mostly do), and what is unsaid is not expected.
PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    aspect: {value: tuple(filter(None, phrases)) for value, phrases in table.items()}
    for aspect, table in (("light", LIGHTS), ("weather", WEATHERS), ("place", PLACES))
}


def conditions(scene: Scene) -> dict[str, str]:
    """The value of each aspect; rooms and tables have no weather."""
    found = {"light": scene.light, "place": _place(scene)}
    if scene.background.beyond != "wall":
        found["weather"] = scene.weather
    return found


def said(scene: Scene, caption: str) -> dict[str, str]:
    """Those of the conditions that the caption names."""
    known = conditions(scene).items()
    return {aspect: value for aspect, value in known if any(text in caption for text in PHRASES[aspect][value])}


def _place(scene: Scene) -> str:
    background = scene.background
    if background.path is not None:
        return "road"
    if background.beyond == "water":
        return "beach" if background.ground == "sand" else "lake"
    return background.ground

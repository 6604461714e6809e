"""Light, weather and place of a scene, where its caption says them."""

from datasetdm.miniworld import Scene

#: Aspect -> value -> phrases for it in captions. Light and weather may go unsaid (by day and under a clear sky they
#: mostly do), and what is unsaid is not asked for.
PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "light": {
        "day": ("during the day", "in daylight", "in the afternoon"),
        "dusk": ("at dusk", "at sunset", "in the evening"),
        "night": ("at night", "in the dark"),
    },
    "weather": {
        "clear": ("under a clear sky",),
        "rain": ("in the rain", "on a rainy day", "while it rains"),
        "fog": ("in the fog", "on a foggy day", "in thick fog"),
        "snow": ("while it snows", "in falling snow"),
    },
    "place": {
        "grass": ("on the grass", "in a field", "on a meadow", "in a park"),
        "road": ("on a road", "on the street", "by the road"),
        "sand": ("on the sand", "on the ground"),
        "beach": ("on the beach", "on the sand by the water", "by the sea"),
        "lake": ("by a lake", "on the grass by the water"),
        "snow": ("in the snow", "on snow", "in a winter field"),
        "room": ("in a room", "on the floor of a room", "inside a room", "indoors"),
        "table": ("on a table", "on a wooden table", "on the table"),
    },
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
    return "room" if background.ground == "floor" else background.ground

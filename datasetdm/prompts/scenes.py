"""Where things are usually found and what colours they usually have.

Tables over COCO's supercategories, with exceptions by name. The words are plain enough for a text encoder of a
few hundred words, and read naturally to a large one. Categories that are not in the tables may be anywhere, and get no
colour.
"""

from dataclasses import dataclass

from datasetdm.annotations.sample import Category


@dataclass(frozen=True)
class Scene:
    """A kind of place: the phrases for it and whether it has weather."""

    places: tuple[str, ...]
    outdoor: bool


SCENES: dict[str, Scene] = {
    "field": Scene(("on the grass", "in a green field", "on a meadow", "in a park"), outdoor=True),
    "street": Scene(("on a road", "on the street", "by the road"), outdoor=True),
    "beach": Scene(("on the beach", "by the sea", "on the sand"), outdoor=True),
    "water": Scene(("by the water", "by a lake", "by the sea"), outdoor=True),
    "snow": Scene(("in the snow", "in a winter field"), outdoor=True),
    "room": Scene(("in a room", "on the floor of a room", "indoors"), outdoor=False),
    "table": Scene(("on a table", "on a wooden table"), outdoor=False),
}
ANYWHERE = Scene(("",), outdoor=False)

LIGHTS = ("during the day", "in daylight", "in the afternoon", "at sunset", "in the evening", "at night")
WEATHERS = ("under a clear sky", "in the rain", "on a rainy day", "in the fog", "while it snows")
COLOURS = ("red", "yellow", "green", "blue", "white", "black", "orange", "brown", "gray")
PEOPLE = ("facing the camera", "seen from behind", "walking", "in a red shirt", "in a blue shirt", "in a white shirt")

#: Kinds (COCO's supercategories) of what data sets without supercategories name: COCO's and VOC's things.
_KINDS: dict[str, tuple[str, ...]] = {
    "person": ("person", "rider"),
    "vehicle": (
        *("bicycle", "car", "motorcycle", "motorbike", "airplane", "aeroplane", "bus", "train", "truck", "boat"),
    ),
    "outdoor": (
        *("traffic light", "traffic sign", "fire hydrant", "stop sign", "parking meter", "bench", "tree", "house"),
        *("building", "fence", "pole", "vegetation"),
    ),
    "animal": (*("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"),),
    "accessory": ("backpack", "umbrella", "handbag", "tie", "suitcase"),
    "sports": ("frisbee", "skis", "snowboard", "sports ball", "ball", "kite", "skateboard", "surfboard"),
    "kitchen": ("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl"),
    "food": (
        *("banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake"),
        "mushroom",
    ),
    "furniture": (
        *("chair", "couch", "sofa", "potted plant", "pottedplant", "bed", "dining table", "diningtable", "toilet"),
        "lamp",
    ),
    "electronic": ("tv", "tvmonitor", "tv monitor", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    "appliance": ("microwave", "oven", "toaster", "sink", "refrigerator"),
    "indoor": ("book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
}
_KIND_OF_NAME = {name: kind for kind, names in _KINDS.items() for name in names}

_SCENES_OF_KIND: dict[str, tuple[str, ...]] = {
    "person": ("field", "street", "beach", "snow", "room"),
    "vehicle": ("street",),
    "outdoor": ("street",),
    "animal": ("field",),
    "accessory": ("street", "field", "beach"),
    "sports": ("field", "beach", "snow"),
    "kitchen": ("table",),
    "food": ("table",),
    "furniture": ("room",),
    "electronic": ("room", "table"),
    "appliance": ("room",),
    "indoor": ("room", "table"),
}
_SCENES_OF_NAME: dict[str, tuple[str, ...]] = {
    "boat": ("water",),
    "airplane": ("field", "street"),
    "bench": ("field", "street", "beach"),
    "bird": ("field", "beach", "snow", "street"),
    "cat": ("room", "field"),
    "dog": ("field", "street", "beach", "snow", "room"),
    "horse": ("field", "beach", "snow"),
    "sheep": ("field", "snow"),
    "tree": ("field", "street", "snow"),
    "house": ("field", "street", "snow"),
    "mushroom": ("field", "table"),
    "skis": ("snow",),
    "snowboard": ("snow",),
    "surfboard": ("beach",),
    "skateboard": ("street",),
    "suitcase": ("street", "room"),
    "tie": ("room",),
}

_BRIGHT = ("red", "yellow", "green", "blue", "white", "black")
_COLOURS_OF_KIND: dict[str, tuple[str, ...]] = {
    "vehicle": _BRIGHT,
    "accessory": _BRIGHT,
    "sports": (*_BRIGHT, "orange"),
    "furniture": (*_BRIGHT, "brown"),
    "kitchen": _BRIGHT,
    "animal": ("brown", "black", "white"),
}
_COLOURS_OF_NAME: dict[str, tuple[str, ...]] = {
    "airplane": ("white", "red", "blue"),
    "apple": ("red", "green", "yellow"),
    "banana": ("yellow", "green"),
    "bear": ("brown", "black"),
    "clock": ("red", "blue", "black"),
    "elephant": ("gray",),
    "giraffe": (),
    "house": ("white", "yellow", "red"),
    "lamp": ("white", "yellow", "red"),
    "mushroom": ("red", "brown", "white"),
    "sheep": ("white", "black"),
    "toilet": ("white",),
    "vase": _BRIGHT,
    "zebra": (),
}


def scenes_of(category: Category) -> tuple[str, ...]:
    """Keys of `SCENES` where the category is usually found; none if it is unknown."""
    return _SCENES_OF_NAME.get(category.noun, _SCENES_OF_KIND.get(_kind_of(category), ()))


def colours_of(category: Category) -> tuple[str, ...]:
    """Colours that the category comes in; none if a colour would sound odd."""
    return _COLOURS_OF_NAME.get(category.noun, _COLOURS_OF_KIND.get(_kind_of(category), ()))


def _kind_of(category: Category) -> str:
    return _KIND_OF_NAME.get(category.noun, category.supercategory)

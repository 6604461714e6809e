"""The categories of the miniworld: things that can be counted and stuff that cannot.

Ids follow COCO where the category is a COCO one (things 1-90, COCO-Stuff 92-182) and start at 201 otherwise, so they
are non-contiguous exactly as in the real data set.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """One category: its id in files, its name, its plural in captions and its COCO supercategory."""

    id: int
    name: str
    plural: str
    supercategory: str


THINGS: tuple[Category, ...] = (
    Category(1, "person", "people", "person"),
    Category(3, "car", "cars", "vehicle"),
    Category(5, "airplane", "airplanes", "vehicle"),
    Category(6, "bus", "buses", "vehicle"),
    Category(9, "boat", "boats", "vehicle"),
    Category(10, "traffic light", "traffic lights", "outdoor"),
    Category(16, "bird", "birds", "animal"),
    Category(18, "dog", "dogs", "animal"),
    Category(19, "horse", "horses", "animal"),
    Category(20, "sheep", "sheep", "animal"),
    Category(22, "elephant", "elephants", "animal"),
    Category(25, "giraffe", "giraffes", "animal"),
    Category(28, "umbrella", "umbrellas", "accessory"),
    Category(38, "kite", "kites", "sports"),
    Category(44, "bottle", "bottles", "kitchen"),
    Category(47, "cup", "cups", "kitchen"),
    Category(52, "banana", "bananas", "food"),
    Category(53, "apple", "apples", "food"),
    Category(62, "chair", "chairs", "furniture"),
    Category(64, "potted plant", "potted plants", "furniture"),
    Category(85, "clock", "clocks", "indoor"),
    Category(201, "tree", "trees", "outdoor"),
    Category(202, "house", "houses", "outdoor"),
    Category(203, "lamp", "lamps", "furniture"),
    Category(204, "mushroom", "mushrooms", "food"),
    Category(205, "ball", "balls", "sports"),
)

STUFF: tuple[Category, ...] = (
    Category(157, "sky", "sky", "sky"),
    Category(135, "mountain", "mountains", "solid"),
    Category(124, "grass", "grass", "plant"),
    Category(149, "road", "road", "ground"),
    Category(154, "sand", "sand", "ground"),
    Category(178, "water", "water", "water"),
    Category(159, "snow", "snow", "ground"),
    Category(173, "wall", "wall", "wall"),
    Category(115, "floor", "floor", "floor"),
    Category(165, "table", "table", "furniture-stuff"),
)

THING_BY_NAME: dict[str, Category] = {category.name: category for category in THINGS}

#: Value of a stuff category in `Render.semantic_map`: its position in `STUFF`.
STUFF_INDEX: dict[str, int] = {category.name: index for index, category in enumerate(STUFF)}

#: Value of a thing category in `Render.semantic_map`: after the stuff, in the order of `THINGS`.
THING_INDEX: dict[str, int] = {category.name: len(STUFF) + index for index, category in enumerate(THINGS)}

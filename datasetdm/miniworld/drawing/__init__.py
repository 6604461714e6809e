"""One drawing function per thing category, by name."""

from collections.abc import Callable

from datasetdm.miniworld.drawing import animals, household, nature, vehicles
from datasetdm.miniworld.drawing.brush import Brush
from datasetdm.miniworld.drawing.person import Joint, person
from datasetdm.miniworld.layout import SceneObject

DRAWINGS: dict[str, Callable[[Brush, SceneObject], dict[str, Joint] | None]] = {
    "person": person,
    "car": vehicles.car,
    "airplane": vehicles.airplane,
    "bus": vehicles.bus,
    "boat": vehicles.boat,
    "traffic light": vehicles.traffic_light,
    "bird": animals.bird,
    "dog": animals.dog,
    "horse": animals.horse,
    "sheep": animals.sheep,
    "elephant": animals.elephant,
    "giraffe": animals.giraffe,
    "umbrella": household.umbrella,
    "kite": household.kite,
    "bottle": household.bottle,
    "cup": household.cup,
    "banana": household.banana,
    "apple": household.apple,
    "chair": household.chair,
    "potted plant": household.potted_plant,
    "clock": household.clock,
    "tree": nature.tree,
    "house": nature.house,
    "lamp": household.lamp,
    "mushroom": nature.mushroom,
    "ball": household.ball,
}

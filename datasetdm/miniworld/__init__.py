"""The embedded world: seeded scenes, rendered with the exact labels of every task, and captions."""

from datasetdm.miniworld.captions import vocabulary, write_caption, write_captions
from datasetdm.miniworld.catalog import STUFF, STUFF_INDEX, THING_BY_NAME, THING_INDEX, THINGS, Category
from datasetdm.miniworld.distributions import DISTRIBUTIONS
from datasetdm.miniworld.exports import EXPORTS, export_coco
from datasetdm.miniworld.layout import Camera, Scene, SceneObject
from datasetdm.miniworld.rendering import Render, render
from datasetdm.miniworld.scene import sample_scene

__all__ = [
    "DISTRIBUTIONS",
    "EXPORTS",
    "STUFF",
    "STUFF_INDEX",
    "THINGS",
    "THING_BY_NAME",
    "THING_INDEX",
    "Camera",
    "Category",
    "Render",
    "Scene",
    "SceneObject",
    "export_coco",
    "render",
    "sample_scene",
    "vocabulary",
    "write_caption",
    "write_captions",
]

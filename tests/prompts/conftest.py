"""Categories that are not the embedded world's, and a tiny language model."""

import pytest

from datasetdm.annotations.sample import Category
from tests.prompts.language_model.conftest import tiny_model

__all__ = ["coco", "tiny_model", "warehouse"]

COCO = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, "
    "skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, "
    "sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining "
    "table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, "
    "refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)


@pytest.fixture
def coco() -> list[Category]:
    """COCO's 80 categories, without supercategories."""
    categories = [Category(id=number, name=name) for number, name in enumerate(COCO.split(", "), 1)]
    assert len(categories) == 80
    return categories


@pytest.fixture
def warehouse() -> list[Category]:
    """What a user's own data may hold."""
    names = ("forklift", "safety vest", "pallet", "hard hat")
    return [Category(id=10 * number, name=name) for number, name in enumerate(names, 1)]

"""Labels that were spoilt on purpose get a lower quality than those that were not, with the right reason."""

from dataclasses import replace

import numpy as np
import pytest

from datasetdm import config
from datasetdm.annotations.depth_map import DepthMap
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.evaluation.label_quality import AGREES, Doubt, build_quality
from tests.datasets.exporting.conftest import samples_of

CATEGORIES = tuple(Category(id=number, name=name) for number, name in enumerate(("dog", "cat", "fire_truck"), 1))
SIZE = (90, 131)


def mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    drawn = np.zeros(SIZE, dtype=bool)
    drawn[top:bottom, left:right] = True
    return drawn


DOG, CAT, ELSEWHERE = mask(5, 5, 40, 40), mask(60, 50, 100, 85), mask(100, 2, 128, 30)


def objects(*found: tuple[np.ndarray, int, float]) -> Instances:
    if not found:
        return Instances.empty(*SIZE)
    masks, labels, scores = zip(*found, strict=True)
    return Instances.of(np.stack(masks), np.array(labels), np.array(scores))


LABELS = objects((DOG, 0, 1), (CAT, 1, 1))
FOUND = objects((DOG, 0, 0.9), (CAT, 1, 0.7), (ELSEWHERE, 2, 0.2))
SPOILT = {
    "overlooked": (objects((DOG, 0, 1)), "no label on what the model takes for a cat (70%)"),
    "category": (objects((DOG, 0, 1), (CAT, 2, 1)), "the model takes a labelled fire truck for something else"),
    "outline": (
        objects((DOG, 0, 1), (mask(85, 50, 125, 85), 1, 1)),
        "the outline of a cat is not where the model sees it",
    ),
    "invented": (
        objects((DOG, 0, 1), (CAT, 1, 1), (ELSEWHERE, 1, 1)),
        "the model sees no cat where one is labelled",
    ),
}


def judge(settings: config.TaskSection, *pairs, categories=CATEGORIES) -> list[Doubt]:
    quality = build_quality(settings, categories)
    for target, predicted in pairs:
        quality.add(target, predicted)
    return quality.compute()


@pytest.mark.parametrize("kind", SPOILT)
def test_objects(kind: str) -> None:
    spoilt, reason = SPOILT[kind]
    right, wrong, empty = judge(config.InstanceAnnotation(), (LABELS, FOUND), (spoilt, FOUND), (objects(), objects()))
    assert right.score > 0.95 and right.reason == empty.reason == AGREES
    assert wrong.score < 0.6 and wrong.reason == reason


def test_crowds_and_what_nobody_looked_for_are_no_mistakes() -> None:
    crowd = replace(LABELS, crowd=np.array([False, True]))
    federated = replace(objects((DOG, 0, 1)), judged=(0,))
    several = judge(config.InstanceAnnotation(), (crowd, objects((DOG, 0, 0.9))), (federated, FOUND))
    assert [doubt.reason for doubt in several] == [AGREES, AGREES]


def test_nothing_judged_is_no_error() -> None:
    assert judge(config.InstanceAnnotation()) == []


def test_semantic_maps() -> None:
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[DOG] = 1
    found = SemanticMap(labels=labels, confidence=np.full(SIZE, 0.9, dtype=np.float32))
    spoilt, unknown = labels.copy(), labels.copy()
    spoilt[CAT], unknown[CAT] = 2, IGNORE
    maps = [SemanticMap.of(given) for given in (labels, spoilt, unknown, np.full(SIZE, IGNORE, dtype=np.uint8))]
    right, wrong, partly, nothing = judge(config.SemanticAnnotation(), *((given, found) for given in maps))
    assert right.score == pytest.approx(0.9) and right.reason == AGREES
    assert partly.score == pytest.approx(0.9) and nothing == Doubt(1.0, "nothing is labelled")
    assert wrong.score < 0.2
    assert wrong.reason == f"labelled fire truck, dog to the model, on {CAT.mean():.0%} of the image"


def test_depth() -> None:
    sample = samples_of("depth", 1)[0].target
    twice = DepthMap(depth=sample.depth * 2, valid_mask=sample.valid_mask)
    settings = config.DepthAnnotation(max_depth=50.0)
    right, wrong = judge(settings, (sample, sample), (sample, twice))
    assert right.score == 1.0 and wrong.score == 0.0 and "2.00 times" in wrong.reason


def test_poses() -> None:
    person: Persons = samples_of("pose", 1)[0].target.select(np.array([0]))
    moved = person.keypoints.copy()
    worst = int(np.flatnonzero(moved[0, :, 2] > 0)[0])
    moved[0, worst, :2] += 25
    nobody = person.select(np.zeros(1, dtype=bool))
    right, wrong, missing = judge(
        config.PoseAnnotation(), (person, person), (replace(person, keypoints=moved), person), (person, nobody)
    )
    assert right == Doubt(1.0, AGREES)
    assert wrong.score < 1 and "of a person is elsewhere" in wrong.reason
    assert missing.score == 0 and missing.reason == "the model sees no person"

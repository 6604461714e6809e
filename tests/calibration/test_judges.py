"""What counts as right."""

import numpy as np
import pytest

from datasetdm.annotations.instances import Instances
from datasetdm.annotations.persons import Persons
from datasetdm.annotations.sample import Category, Prediction
from datasetdm.annotations.semantic_map import IGNORE, SemanticMap
from datasetdm.calibration.judges import MapJudge, ObjectJudge, PersonJudge

CATEGORIES = (Category(id=7, name="cat"), Category(id=9, name="dog"))


def objects(*boxes, labels, scores=None, **changes) -> Instances:
    masks = np.zeros((len(boxes), 20, 30), dtype=bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    made = Instances.of(masks, np.array(labels), None if scores is None else np.array(scores))
    return Instances(**{**vars(made), **changes})


def test_an_object_needs_category_and_overlap() -> None:
    truth = objects((0, 0, 10, 10), (15, 0, 25, 10), labels=[0, 1])
    found = objects((0, 0, 10, 9), (15, 0, 25, 10), (15, 0, 19, 10), labels=[0, 0, 1], scores=[0.9, 0.8, 0.7])
    assert ObjectJudge(CATEGORIES).right(found, truth).tolist() == [1, 0, 0]


def test_each_true_object_is_found_once_by_the_surest() -> None:
    truth = objects((0, 0, 10, 10), labels=[0])
    found = objects((0, 0, 10, 8), (0, 0, 10, 10), labels=[0, 0], scores=[0.4, 0.6])
    assert ObjectJudge(CATEGORIES).right(found, truth).tolist() == [0, 1]


def test_nobody_can_tell_in_crowds_and_where_nobody_looked() -> None:
    judge = ObjectJudge(CATEGORIES)
    crowd = objects((0, 0, 20, 20), labels=[0], crowd=np.array([True]))
    found = objects((0, 0, 10, 10), (0, 0, 10, 10), (25, 0, 30, 5), labels=[0, 1, 0])
    assert str(judge.right(found, crowd).tolist()) == "[nan, 0.0, 0.0]"
    federated = objects((0, 0, 10, 10), labels=[0], judged=(0,), not_exhaustive=(0,))
    assert str(judge.right(found, federated).tolist()) == "[1.0, nan, nan]"


def test_regions_to_ignore_claim_nothing() -> None:
    truth = objects((0, 0, 10, 10), labels=[0])
    found = objects((0, 0, 10, 10), (0, 0, 10, 10), labels=[0, 0], scores=[0.3, 0.2], crowd=np.array([True, False]))
    assert str(ObjectJudge(CATEGORIES).right(found, truth).tolist()) == "[nan, 1.0]"


def test_empty_annotations() -> None:
    judge, nothing = ObjectJudge(CATEGORIES), Instances.empty(20, 30)
    assert judge.right(nothing, objects((0, 0, 5, 5), labels=[0])).shape == (0,)
    assert judge.right(objects((0, 0, 5, 5), labels=[0]), nothing).tolist() == [0]
    assert len(judge.rescored(Prediction(target=nothing, score=0.0), np.zeros(0)).target) == 0


def test_other_scores_bring_another_order() -> None:
    found = objects((0, 0, 5, 5), (6, 0, 9, 5), labels=[0, 1], scores=[0.9, 0.5])
    again = ObjectJudge(CATEGORIES).rescored(Prediction(target=found, score=0.7), np.array([0.2, 0.8]))
    assert again.target.labels.tolist() == [1, 0] and again.target.scores.tolist() == pytest.approx([0.8, 0.2])
    assert again.score == pytest.approx(0.5)


def person(shift: float = 0.0, visible: int = 17, at: int = 0) -> Persons:
    keypoints = np.zeros((1, 17, 3), np.float32)
    for index in range(visible):
        keypoints[0, index] = (at + 3 + index % 4 + shift, 2 + index, 2)
    masks = np.zeros((1, 24, 60), dtype=bool)
    masks[0, 1:20, at + 1 : at + 12] = True
    box = np.array([[at + 1, 1, 11, 19]], np.float32)
    return Persons(keypoints=keypoints, boxes=box, masks=masks, scores=np.ones(1, np.float32), crowd=np.zeros(1, bool))


def test_a_person_needs_its_keypoints_in_place() -> None:
    judge, truth = PersonJudge(CATEGORIES), Persons.merge([person(), person(at=30)])
    found = Persons.merge([person(shift=0.2), person(shift=9, at=30), person(visible=0)])
    assert str(judge.right(found, truth).tolist()) == "[1.0, 0.0, nan]"


def test_nobody_can_tell_of_a_person_without_true_keypoints() -> None:
    hidden = person(visible=0)
    assert np.isnan(PersonJudge(CATEGORIES).right(person(), hidden)).all()


def test_a_map_is_as_right_as_its_pixels_with_a_category() -> None:
    categories = (Category(id=0, name="background"), *CATEGORIES)
    truth, found = np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.uint8)
    truth[:2], found[:2] = 1, 1
    found[0, 0], found[3] = 2, IGNORE
    truth[1, 0] = IGNORE
    judge = MapJudge(categories)
    assert judge.right(SemanticMap.of(found), SemanticMap.of(truth)).tolist() == pytest.approx([10 / 11])
    assert np.isnan(judge.right(SemanticMap.of(np.zeros_like(found)), SemanticMap.of(truth))).all()
    assert judge.parts(Prediction(target=None, score=0.7)).scores.tolist() == [0.7]

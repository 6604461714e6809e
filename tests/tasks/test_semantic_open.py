"""The semantic task with an open vocabulary: answers to single questions become one map of all categories."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.annotations.semantic_map import IGNORE
from datasetdm.tasks.open_vocabulary_semantic import OpenVocabularySemanticTask

SIZE = (24, 32)
ANSWERS = {1: (0.9, slice(0, 14)), 2: (0.8, slice(10, 20)), 3: (0.4, slice(20, 28))}  # probability, columns


def make_task(names: tuple[str, ...] = ("background", "box", "disc", "star")) -> OpenVocabularySemanticTask:
    categories = [Category(id=number, name=name) for number, name in enumerate(names)]
    return OpenVocabularySemanticTask(categories, config.SemanticAnnotation(unseen=(names[-1],)))


TASK = make_task()


def outputs_of(answers: Mapping[int, tuple[float, slice]], queries: int = 3, images: int = 1) -> dict[str, object]:
    """The same answers for every image, each by a query of its own; the other queries say that there is no object."""
    logits = torch.zeros(len(answers), queries, 2)
    logits[..., 1] = 40
    masks = torch.full((len(answers), queries, *SIZE), 30.0)  # without an object a mask means nothing
    for row, (probability, columns) in enumerate(answers.values()):
        logits[row, row % queries] = torch.tensor([probability, 1 - probability]).log()
        masks[row, row % queries] = -30
        masks[row, row % queries, :, columns] = 30
    return {
        "pred_logits": logits.repeat(images, 1, 1),
        "pred_masks": masks.repeat(images, 1, 1, 1),
        "images": torch.arange(images).repeat_interleave(len(answers)),
        "labels": torch.tensor(list(answers) * images, dtype=torch.long),
        "batch_size": images,
    }


def test_answers_become_one_map_with_background_where_nothing_is_certain() -> None:
    first, second = TASK.decode(outputs_of(ANSWERS, images=2), SIZE)
    row = first.target.labels[0]
    np.testing.assert_array_equal(row, [1] * 14 + [2] * 6 + [0] * 12)
    assert (first.target.labels == row).all()
    np.testing.assert_array_equal(second.target.labels, first.target.labels)
    confidence = first.target.confidence[0]
    np.testing.assert_allclose(confidence[:10], 0.9, atol=1e-4)
    np.testing.assert_allclose(confidence[10:14], 0.9 / (0.9 + 0.8 + 0.1), atol=1e-4)
    np.testing.assert_allclose(confidence[20:28], 0.6, atol=1e-4)  # a star is possible, no star is likelier
    np.testing.assert_allclose(confidence[28:], 1, atol=1e-4)
    assert first.score == pytest.approx((10 * 0.9 + 4 * 0.5 + 6 * 0.8) / 20, abs=1e-4)


def test_the_likeliest_query_counts_and_unlikely_ones_do_not_add_up() -> None:
    logits = torch.tensor([0.3, 0.7]).log().expand(1, 8, 2)
    outputs = outputs_of({1: (0.3, slice(None))}) | {"pred_logits": logits, "pred_masks": torch.full((1, 8, *SIZE), 30)}
    (prediction,) = TASK.decode(outputs, SIZE)
    assert (prediction.target.labels == 0).all()


def test_classes_that_are_not_allowed_are_ruled_out() -> None:
    outputs = outputs_of(ANSWERS, images=3)
    disc, none, all_of_them = TASK.decode(outputs, SIZE, [[2], [], [0, 1, 2, 3]])
    np.testing.assert_array_equal(disc.target.labels[0], [0] * 10 + [2] * 10 + [0] * 12)
    assert (none.target.labels == 0).all() and none.score == 0
    np.testing.assert_array_equal(all_of_them.target.labels, TASK.decode(outputs, SIZE)[0].target.labels)


def test_without_a_background_the_likeliest_class_has_every_pixel() -> None:
    task = make_task(("sky", "box", "disc", "star"))
    assert task.vocabulary.labels == (0, 1, 2, 3)
    answers = ANSWERS | {0: (0.2, slice(None))}
    (prediction,) = task.decode(outputs_of(answers, queries=4), SIZE)
    np.testing.assert_array_equal(prediction.target.labels[0], [1] * 14 + [2] * 6 + [3] * 8 + [0] * 4)
    (nothing,) = task.decode(outputs_of(answers, queries=4), SIZE, [[]])
    assert (nothing.target.labels == IGNORE).all() and (nothing.target.confidence == 0).all()


def test_answers_are_resized_to_the_image() -> None:
    large = (4 * SIZE[0], 4 * SIZE[1])
    (prediction,) = TASK.decode(outputs_of(ANSWERS), large)
    assert prediction.target.labels.shape == prediction.target.confidence.shape == large
    expected = TASK.decode(outputs_of(ANSWERS), SIZE)[0].target.labels.repeat(4, axis=0).repeat(4, axis=1)
    assert (prediction.target.labels != expected).mean() < 0.05  # the edges alone


def test_broken_answers_are_ignored() -> None:
    outputs = outputs_of(ANSWERS)
    outputs["pred_masks"] = torch.full_like(outputs["pred_masks"], torch.nan)
    (prediction,) = TASK.decode(outputs, SIZE)
    assert (prediction.target.labels == IGNORE).all()
    assert prediction.score == 0

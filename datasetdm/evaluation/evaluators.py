"""The evaluator of each task: the standard metric of the field, fed one image at a time."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from datasetdm import config
from datasetdm.annotations.categories import labels_named
from datasetdm.annotations.sample import Category
from datasetdm.evaluation.coco import CocoMaskEvaluator
from datasetdm.evaluation.depth import DepthEvaluator
from datasetdm.evaluation.keypoints import CocoKeypointEvaluator
from datasetdm.evaluation.semantic import SemanticEvaluator


class Evaluator(Protocol):
    """Metrics over any number of images, of any sizes."""

    def add(self, target: Any, predicted: Any) -> None:
        """Add one image: its true and its predicted annotation."""

    def compute(self) -> dict[str, float]:
        """The metrics over all images added, by name; `Task.primary_metric` is one of them."""


def build_evaluator(settings: config.TaskSettings, categories: Sequence[Category]) -> Evaluator:
    """A new evaluator for a task.

    Args:
        settings: of the task.
        categories: in label order.
    """
    return _EVALUATORS[settings.name](settings, categories)


def _masks(settings: config.InstanceAnnotation, categories: Sequence[Category]) -> CocoMaskEvaluator:
    return CocoMaskEvaluator(categories)


def _semantic(settings: config.SemanticAnnotation, categories: Sequence[Category]) -> SemanticEvaluator:
    unseen = labels_named(categories, settings.unseen, setting="unseen")
    tail = labels_named(categories, settings.tail, setting="tail")
    return SemanticEvaluator([category.name for category in categories], unseen, tail)


def _depth(settings: config.DepthAnnotation, categories: Sequence[Category]) -> DepthEvaluator:
    return DepthEvaluator(min_depth=settings.min_depth, max_depth=settings.max_depth, crop=settings.crop)


def _keypoints(settings: config.PoseAnnotation, categories: Sequence[Category]) -> CocoKeypointEvaluator:
    return CocoKeypointEvaluator()


_EVALUATORS: dict[str, Callable[[Any, Sequence[Category]], Evaluator]] = {
    "instance": _masks,
    "semantic": _semantic,
    "depth": _depth,
    "pose": _keypoints,
}

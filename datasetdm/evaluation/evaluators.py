"""The evaluator of each task: the standard metric of the field, fed one image at a time."""

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any, Protocol

from datasetdm import config
from datasetdm.annotations.categories import labels_named
from datasetdm.annotations.sample import Category
from datasetdm.evaluation.coco import CocoMaskEvaluator
from datasetdm.evaluation.depth import DepthEvaluator
from datasetdm.evaluation.keypoints import CocoKeypointEvaluator
from datasetdm.evaluation.semantic import SemanticEvaluator
from datasetdm.task_parts import TASKS


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
    evaluator: Evaluator = resolve_name(TASKS[settings.name].evaluator)(settings, categories)
    return evaluator


def mask_evaluator(settings: config.InstanceAnnotation, categories: Sequence[Category]) -> CocoMaskEvaluator:
    """The AP of masks."""
    return CocoMaskEvaluator(categories)


def semantic_evaluator(settings: config.SemanticAnnotation, categories: Sequence[Category]) -> SemanticEvaluator:
    """The mean IoU, and that of unseen categories and of the tail if the settings name them."""
    unseen = labels_named(categories, settings.unseen, setting="unseen")
    tail = labels_named(categories, settings.tail, setting="tail")
    return SemanticEvaluator([category.name for category in categories], unseen, tail)


def depth_evaluator(settings: config.DepthAnnotation, categories: Sequence[Category]) -> DepthEvaluator:
    """The errors of depth within the range and the crop that the settings name."""
    return DepthEvaluator(min_depth=settings.min_depth, max_depth=settings.max_depth, crop=settings.crop)


def keypoint_evaluator(settings: config.PoseAnnotation, categories: Sequence[Category]) -> CocoKeypointEvaluator:
    """The AP of keypoints."""
    return CocoKeypointEvaluator()

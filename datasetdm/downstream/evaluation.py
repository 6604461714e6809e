"""How good a model is on annotated images."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from datasetdm.annotations.predictor import Predictor
from datasetdm.annotations.sample import Sample
from datasetdm.evaluation.evaluators import build_evaluator
from datasetdm.tasks.base import Task
from datasetdm.utils.progress import Progress

EVALUATION_BATCH = 16  # images in memory at once


def evaluate(model: Predictor, task: Task, samples: Sequence[Sample]) -> dict[str, float]:
    """The task's metrics of a model on annotated images; metrics without a value there are left out."""
    if not len(samples):
        return {}
    evaluator = build_evaluator(*task.kind)
    for sample, found in predictions(model, task, samples):
        evaluator.add(sample.target, found)
    return {name: value for name, value in evaluator.compute().items() if math.isfinite(value)}


def predictions(model: Predictor, task: Task, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Any]]:
    """Annotated images, each with what a model finds in it."""
    progress = Progress(len(samples), "images judged")
    for start in range(0, len(samples), EVALUATION_BATCH):
        batch = [samples[index] for index in range(start, min(start + EVALUATION_BATCH, len(samples)))]
        prompt_boxes = [task.prompt_boxes(sample.target) for sample in batch]
        yield from zip(batch, model.predict([sample.image for sample in batch], prompt_boxes), strict=True)
        progress.update(start + len(batch))

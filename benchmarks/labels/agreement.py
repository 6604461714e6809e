"""How well agreement tells right labels from wrong ones, image by image."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.labels.measures import area_under_curve, right_objects
from benchmarks.labels.readings import Found
from benchmarks.labels.variants import FLIP, NOISY, PLAIN, VARIANTS
from datasetdm import config
from datasetdm.annotations.instances import Instances
from datasetdm.annotations.sample import Prediction, Sample
from datasetdm.filters.base import compare_counts
from datasetdm.filters.instance import InstanceFilter
from datasetdm.prompts.mentions import asked_counts
from datasetdm.tasks.instance import InstanceTask

BY_ATTENTION = replace(PLAIN, by_attention=True)
KEPT = (0.25, 0.5, 0.75)  # shares of the images
FILTER = config.Filter(score_threshold=0.35)  # as `coco`; numbers are not checked, so that their agreement varies


def measure_agreement(task: InstanceTask, samples: Sequence[Sample], found: Found) -> dict[str, dict[str, float]]:
    """For each column: `auc` (an image is right if the filter keeps all its objects and no others), and precision and
    recall of the objects if the best quarter, half and three quarters of the images are kept by it.

    `score` is the mean score of the objects that the filter keeps. `sum` adds the columns up. Images are labelled as
    `coco` does it.

    Args:
        task: of the labels.
        samples: with true labels and captions.
        found: what was read.
    """
    label_filter = InstanceFilter(config.InstanceAnnotation(), task.categories)
    rows = []
    for sample, readings in zip(samples, found, strict=True):
        label = VARIANTS["attention"].label(task, [readings], sample.image)
        accepted = label_filter.accept(Prediction(target=label, score=1.0), FILTER)
        kept: Instances = accepted.target
        if accepted.rejected:
            continue
        asked = asked_counts(sample.caption, task.words)
        counts = compare_counts({one: int((kept.labels == one).sum()) for one in asked}, asked)
        columns = {
            "score": accepted.scores["score"],
            "flip_agreement": task.agreement(readings[PLAIN], readings[FLIP]),
            "timestep_agreement": task.agreement(readings[PLAIN], readings[NOISY]),
            "attention_agreement": task.agreement(readings[PLAIN], readings.get(BY_ATTENTION, readings[PLAIN])),
            "count_agreement": 1.0 if counts is None else counts,
        }
        right = right_objects(sample.target, kept)
        rows.append((columns | {"sum": sum(columns.values())}, int(right.sum()), len(kept), len(sample.target)))
    whole = np.array([right == kept == there for _, right, kept, there in rows])
    names = list(rows[0][0])
    return {name: _column(np.array([row[0][name] for row in rows]), rows, whole) for name in names}


def _column(
    values: np.ndarray, rows: Sequence[tuple[dict[str, float], int, int, int]], whole: np.ndarray
) -> dict[str, float]:
    order = np.argsort(-values, kind="stable")
    figures = {"auc": area_under_curve(values, whole), "images": float(len(values)), "right": float(whole.mean())}
    for share in (*KEPT, 1.0):
        chosen = order[: max(1, round(share * len(order)))]
        right, kept, there = (sum(rows[index][part] for index in chosen) for part in (1, 2, 3))
        figures |= {f"precision_{share:g}": right / max(kept, 1), f"recall_{share:g}": right / max(there, 1)}
    return figures

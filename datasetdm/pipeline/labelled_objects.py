"""What the few labelled images show, image by image."""

from collections import Counter
from functools import lru_cache
from pathlib import Path

from datasetdm.arms import LABELLED
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.pipeline.annotated_sets import AnnotatedSets
from datasetdm.pipeline.context import Context
from datasetdm.tasks.base import Task


def objects_per_image(context: Context) -> list[Counter[str]]:
    """The objects of each labelled image, by category; an image that several seeds have counts once.

    Where a task does not count objects, as with semantic maps, each category of an image counts as one. Empty for a
    task without categories, such as depth. Dev and test are not looked at.
    """
    task, real, sets = context.task(), context.paths.real, AnnotatedSets()
    found: dict[str, Counter[str]] = {}
    for seed in context.seeds:
        subset = LABELLED.subset(seed)
        found |= _objects(task, real, subset, sets.identity(real, subset))
    return list(found.values())


@lru_cache(maxsize=16)  # writing, selecting and measuring prompts ask for the same; reading decodes every image
def _objects(task: Task, real: Path, subset: str, identity: str) -> dict[str, Counter[str]]:
    """Name of an image -> its objects; `identity` is that of the set."""
    names = [category.name for category in task.categories]
    subjects = {category.name for category in task.subjects}
    found: dict[str, Counter[str]] = {}
    for sample in standard_format(*task.kind).load(real, subset):
        labels = sample.target.object_labels()
        if labels is None:
            labels = sample.target.category_labels()
        if labels is None:
            return {}
        found[sample.name] = Counter(names[label] for label in labels if names[label] in subjects)
    return found

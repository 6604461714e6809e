"""What the few labelled images show, image by image."""

from collections import Counter

from datasetdm.arms import LABELLED
from datasetdm.datasets.standard.formats import standard_format
from datasetdm.pipeline.context import Context


def objects_per_image(context: Context) -> list[Counter[str]]:
    """The objects of each labelled image, by category; an image that several seeds have counts once.

    Where a task does not count objects, as with semantic maps, each category of an image counts as one. Empty for a
    task without categories, such as depth. Dev and test are not looked at.
    """
    task = context.task()
    names = [category.name for category in task.categories]
    subjects = {category.name for category in task.subjects}
    found: dict[str, Counter[str]] = {}
    for seed in context.seeds:
        for sample in standard_format(*task.kind).load(context.paths.real, LABELLED.subset(seed)):
            labels = sample.target.object_labels()
            if labels is None:
                labels = sample.target.category_labels()
            if labels is None:
                return []
            found[sample.name] = Counter(names[label] for label in labels if names[label] in subjects)
    return list(found.values())

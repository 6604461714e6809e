"""Categories and their labels: a label is the index of a category in the data set's list."""

from collections.abc import Iterable, Sequence

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError

BACKGROUND = config.BACKGROUND


def background_labels(categories: Sequence[Category]) -> list[int]:
    """The label of the background, in a list; an empty one if the data set has no background."""
    return [label for label, category in enumerate(categories) if category.name == BACKGROUND]


def labels_named(categories: Sequence[Category], names: Iterable[str], *, setting: str) -> list[int]:
    """The labels of the categories that a setting lists.

    Args:
        categories: in label order.
        names: what the setting lists.
        setting: its name below `task` in params.yaml, for the error message.

    Raises:
        DatasetDMError: the data set has no category of that name.
    """
    label_of = {category.name: label for label, category in enumerate(categories)}
    unknown = [name for name in names if name not in label_of]
    if unknown:
        raise DatasetDMError(
            f"params.yaml: task.{setting} names {', '.join(unknown)}, which the data set does not have. It has: "
            f"{', '.join(label_of)}."
        )
    return [label_of[name] for name in names]

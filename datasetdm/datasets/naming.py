"""What the categories of a data set are called in prompts, and whether two of its splits have the same ones."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from datasetdm.annotations.sample import Category
from datasetdm.datasets.merged import MergedSplit
from datasetdm.datasets.split import Split
from datasetdm.errors import DatasetDMError

_SHOWN = 5


def rename(split: Split, names: Mapping[str, str]) -> tuple[Category, ...]:
    """The categories of a split, some by another name; ids and order stay.

    Raises:
        DatasetDMError: a name that the split does not have.
    """
    own = [category.name for category in split.categories]
    if unknown := sorted(names.keys() - set(own)):
        raise DatasetDMError(
            f"`source.names` in params.yaml renames {', '.join(unknown)}, but {split.annotation_file} has no such "
            f"category. It has: {', '.join(own)}."
        )
    return tuple(replace(category, name=names.get(category.name, category.name)) for category in split.categories)


def tell_apart(split: Split, *, merge: bool) -> Split:
    """The split, in which every category reads differently in a prompt.

    `traffic_light` and `traffic light`, or `Dog` and `dog`, make the same prompts, so that nobody could say which one
    a prompt means. Merged, they are one category with the id and the name of the first.

    Raises:
        DatasetDMError: there are such categories, and `merge` is False. It names them all.
    """
    alike: defaultdict[str, list[int]] = defaultdict(list)
    for label, category in enumerate(split.categories):
        alike[as_read(category)].append(label)
    if len(alike) == len(split.categories):
        return split
    if not merge:
        groups = [[split.categories[label] for label in labels] for labels in alike.values() if len(labels) > 1]
        raise DatasetDMError(
            f"{split.annotation_file} (with `source.names` in params.yaml) has categories that read the same in a "
            f"prompt: {'; '.join(map(_listed, groups))}. Give one of each another name in `source.names`, or make them "
            "one with `source.merge_same_names: true`."
        )
    table = np.zeros(len(split.categories), dtype=np.int64)
    for new, labels in enumerate(alike.values()):
        table[labels] = new
    return MergedSplit(split, [split.categories[labels[0]] for labels in alike.values()], table)


def check_same(first: Split, second: Split, remedy: str) -> None:
    """Check that two splits have the same categories, by id and name in label order; the rest may differ.

    Raises:
        DatasetDMError: it says what differs, and `remedy`.
    """
    names, others = ({category.id: category.name for category in split.categories} for split in (first, second))
    if list(names.items()) == list(others.items()):
        return
    differences = [
        *(
            f"id {key} is {names[key]!r} in the first and {others[key]!r} in the second"
            for key in _changed(names, others)
        ),
        *(f"{names[key]!r} (id {key}) is in the first only" for key in names if key not in others),
        *(f"{others[key]!r} (id {key}) is in the second only" for key in others if key not in names),
    ] or ["they are in another order"]
    more = f"; and {len(differences) - _SHOWN} more differences" if len(differences) > _SHOWN else ""
    raise DatasetDMError(
        f"{first.annotation_file} and {second.annotation_file} list different categories: "
        f"{'; '.join(differences[:_SHOWN])}{more}. {remedy}"
    )


def _changed(names: Mapping[int, str], others: Mapping[int, str]) -> Iterable[int]:
    return (key for key in names if key in others and names[key] != others[key])


def as_read(category: Category) -> str:
    """What is left of a name in a prompt: text encoders ignore capital letters."""
    return unicodedata.normalize("NFKC", category.noun).casefold()


def _listed(categories: Iterable[Category]) -> str:
    return " and ".join(f"{category.name!r} (id {category.id})" for category in categories)

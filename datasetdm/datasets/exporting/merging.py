"""One list of categories for several benchmarks: the same name is the same category."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from datasetdm.annotations.sample import Category
from datasetdm.errors import DatasetDMError

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The categories of several benchmarks together.

    Attributes:
        categories: in label order; by id if there are several benchmarks.
        tables: benchmark -> int64, the new label of each of its labels.
        renumbered: benchmark -> its category ids that have changed, each with the new one.
    """

    categories: tuple[Category, ...]
    tables: Mapping[str, np.ndarray]
    renumbered: Mapping[str, Mapping[int, int]]


def merge_categories(lists: Mapping[str, Sequence[Category]], *, renumber: bool) -> Merged:
    """Merge by name.

    Args:
        lists: benchmark -> its categories in label order.
        renumber: where ids disagree, the benchmark that comes first keeps its own. A category that it also has gets its
            id; another one keeps its id if that is free, else it gets the next one above all.

    Raises:
        DatasetDMError: a name with different ids, or an id with different names, and `renumber` is False. It names
            them.
    """
    if not renumber and (conflicts := list(_conflicts(lists))):
        more = f"; and {len(conflicts) - _SHOWN} more" if len(conflicts) > _SHOWN else ""
        raise DatasetDMError(
            f"The category ids of {' and '.join(lists)} disagree: {'; '.join(conflicts[:_SHOWN])}{more}. Add "
            f"--renumber: {next(iter(lists))} then keeps its ids, and the others get ids that fit; the export says "
            "which. Or export them one by one."
        )
    merged: dict[str, Category] = {}
    highest = max(category.id for categories in lists.values() for category in categories)
    used: set[int] = set()
    for categories in lists.values():
        for category in categories:
            if category.name in merged:
                continue
            if category.id in used:
                highest += 1
                category = replace(category, id=highest)
            merged[category.name] = category
            used.add(category.id)
    found = list(merged.values())
    if len(lists) > 1:
        found.sort(key=lambda category: category.id)  # as readers of COCO JSON do
    label_of = {category.name: label for label, category in enumerate(found)}
    return Merged(
        categories=tuple(found),
        tables={
            name: np.array([label_of[category.name] for category in categories], dtype=np.int64)
            for name, categories in lists.items()
        },
        renumbered={
            name: changed
            for name, categories in lists.items()
            if (changed := {own.id: merged[own.name].id for own in categories if own.id != merged[own.name].id})
        },
    )


def _conflicts(lists: Mapping[str, Sequence[Category]]) -> Iterable[str]:
    names: defaultdict[int, dict[str, str]] = defaultdict(dict)
    ids: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for benchmark, categories in lists.items():
        for category in categories:
            names[category.id].setdefault(category.name, benchmark)
            ids[category.name].setdefault(category.id, benchmark)
    for name, of in ids.items():
        if len(of) > 1:
            yield f"{name!r} is " + " and ".join(f"{number} in {benchmark}" for number, benchmark in of.items())
    for number, called in names.items():
        if len(called) > 1:
            yield f"id {number} is " + " and ".join(f"{name!r} in {benchmark}" for name, benchmark in called.items())

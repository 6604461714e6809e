"""Categories of several benchmarks: ids stay where they agree, and are never mixed up where they do not."""

import pytest

from datasetdm.annotations.sample import Category
from datasetdm.datasets.exporting.merging import merge_categories
from datasetdm.errors import DatasetDMError


def categories(**ids: int) -> tuple[Category, ...]:
    return tuple(Category(id=number, name=name) for name, number in ids.items())


def test_ids_that_agree_stay() -> None:
    merged = merge_categories({"a": categories(dog=18, cat=17), "b": categories(dog=18, zebra=24)}, renumber=False)
    assert [(c.id, c.name) for c in merged.categories] == [(17, "cat"), (18, "dog"), (24, "zebra")]
    assert merged.tables["a"].tolist() == [1, 0] and merged.tables["b"].tolist() == [1, 2]
    assert not merged.renumbered


def test_one_benchmark_keeps_its_order() -> None:
    own = categories(dog=18, cat=17)
    assert merge_categories({"a": own}, renumber=False).categories == own


def test_ids_that_disagree_are_all_named() -> None:
    lists = {"a": categories(dog=18, cat=17), "b": categories(dog=12, ox=17)}
    with pytest.raises(DatasetDMError) as error:
        merge_categories(lists, renumber=False)
    for text in ("'dog' is 18 in a and 12 in b", "id 17 is 'cat' in a and 'ox' in b", "--renumber"):
        assert text in str(error.value)


def test_renumbering_keeps_the_first_and_fits_the_others() -> None:
    lists = {"a": categories(dog=18, cat=17), "b": categories(dog=12, ox=17, hen=3), "c": categories(ox=4, emu=19)}
    merged = merge_categories(lists, renumber=True)
    assert {c.name: c.id for c in merged.categories} == {"hen": 3, "cat": 17, "dog": 18, "ox": 20, "emu": 19}
    assert merged.renumbered == {"b": {12: 18, 17: 20}, "c": {4: 20}}
    names = [c.name for c in merged.categories]
    for benchmark, own in lists.items():
        assert [names[label] for label in merged.tables[benchmark]] == [c.name for c in own]
    assert len({c.id for c in merged.categories}) == len(merged.categories)

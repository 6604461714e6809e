"""Split items into batches."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last possibly shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch

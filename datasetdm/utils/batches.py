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


def full_batches(items: Iterable[T], size: int) -> Iterator[tuple[list[T], int]]:
    """Lists of exactly `size` items, each with how many of them count: the last list repeats its last item."""
    for batch in batches(items, size):
        yield batch + [batch[-1]] * (size - len(batch)), len(batch)

"""Python's garbage collector, out of the way of large files."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """No search for cycles within this block; objects that nothing refers to are freed all the same.

    While a file's millions of records are made, the collector would walk through all of them again and again, for half
    of the time that reading takes, and find nothing.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()

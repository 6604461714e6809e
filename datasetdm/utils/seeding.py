"""Derive a seed for each purpose."""

import numpy as np


def derived_seed(*numbers: int) -> int:
    """A different seed for every tuple of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)

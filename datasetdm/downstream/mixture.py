"""The order in which a training goes through its data sets."""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from torch.utils.data import Sampler


class MixtureSampler(Sampler[int]):
    """Indices into joined datasets: each slot of a batch picks a dataset by weight, then its next shuffled item.

    Every dataset is used completely before it is shuffled again, however small its weight.

    Args:
        lengths: items per dataset, in the order in which they are joined.
        weights: share of each dataset; need not sum to 1.
        num_draws: indices in all.
        seed: decides the order.
        start: how many of the first indices are left out, as a resumed training has used them.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float], num_draws: int, seed: int, start: int = 0):
        self.lengths, self.num_draws, self.seed, self.start = list(lengths), num_draws, seed, start
        self.shares = np.asarray(weights, dtype=np.float64) / sum(weights)
        self.offsets = np.cumsum([0, *lengths[:-1]])

    def __len__(self) -> int:
        return self.num_draws - self.start

    def __iter__(self) -> Iterator[int]:
        return islice(self._all(), self.start, None)

    def _all(self) -> Iterator[int]:
        rng = np.random.default_rng(self.seed)
        turns = [_shuffled_forever(length, np.random.default_rng(rng.integers(2**63))) for length in self.lengths]
        for source in rng.choice(len(turns), size=self.num_draws, p=self.shares):
            yield int(self.offsets[source] + next(turns[source]))


def _shuffled_forever(length: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(length)

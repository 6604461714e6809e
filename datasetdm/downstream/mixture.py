"""The order in which a training goes through its data sets."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise

import numpy as np
from torch.utils.data import Sampler

from datasetdm.downstream.sources import Labelled


class MixtureSampler(Sampler[int]):
    """Indices into joined datasets: each slot of a batch picks a dataset by weight, then its next shuffled item.

    Every dataset is used completely before it is shuffled again, however small its weight.

    Args:
        lengths: items per dataset, in the order in which they are joined.
        weights: share of each dataset; need not sum to 1. Where all that are left have none, they share alike.
        num_draws: indices in all.
        seed: decides the order.
        start: how many of the first indices are left out, as a resumed training has used them.
        until: the share of all draws after which a dataset is no longer used, per dataset; those with the highest share
            are used to the end. None: all are.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        weights: Sequence[float],
        num_draws: int,
        seed: int,
        start: int = 0,
        until: Sequence[float] | None = None,
    ):
        self.lengths, self.num_draws, self.seed, self.start = list(lengths), num_draws, seed, start
        self.weights = np.asarray(weights, dtype=np.float64)
        lasting = np.ones(len(weights)) if until is None else np.asarray(until, dtype=np.float64)
        self.ends = np.round(lasting / lasting.max() * num_draws).astype(int)
        self.offsets = np.cumsum([0, *lengths[:-1]])

    def __len__(self) -> int:
        return self.num_draws - self.start

    def __iter__(self) -> Iterator[int]:
        return islice(self._all(), self.start, None)

    def _all(self) -> Iterator[int]:
        rng = np.random.default_rng(self.seed)
        turns = [_shuffled_forever(length, np.random.default_rng(rng.integers(2**63))) for length in self.lengths]
        phases = pairwise(sorted({0, *self.ends.tolist()}))
        chosen = (rng.choice(len(turns), size=end - begin, p=self._shares(end)) for begin, end in phases)
        for source in chain.from_iterable(chosen):
            yield int(self.offsets[source] + next(turns[source]))

    def _shares(self, end: int) -> np.ndarray:
        """The share of each dataset in the draws before `end`, and after the end before that."""
        used = self.ends >= end
        weights = self.weights * used
        return weights / weights.sum() if weights.any() else used / used.sum()


def mixed(
    sources: Sequence[Labelled], lengths: Sequence[int], num_draws: int, seed: int, start: int = 0
) -> MixtureSampler:
    """The order of a training on these sets, which have so many items each."""
    weights, until = [source.weight for source in sources], [source.until for source in sources]
    return MixtureSampler(lengths, weights, num_draws, seed, start, until)


def _shuffled_forever(length: int, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(length)

"""The choice of prompts out of more than are needed: every category its share, every aspect its turn, no duplicates.

A greedy choice. The need of a category or an aspect is 1 before any prompt has it, 1/2 once it has its share, and goes
on falling; the next prompt is the one that names what is needed most. So shares are met as well as the candidates
allow, and at every length of the list.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import sparse

from datasetdm.prompts.aspects import aspect_shares

#: What a place, a light or a colour that is missing counts, where a missing category counts 1.
ASPECT_WEIGHT = 0.5

_SAME = 1 - 1e-5  # similarity of a text with itself, rounding errors off


def select(
    frame: pd.DataFrame,
    named: np.ndarray,
    aspects: np.ndarray,
    embeddings: np.ndarray,
    *,
    number: int,
    shares: np.ndarray,
    duplicates: float,
) -> np.ndarray:
    """Choose prompts, the most needed first; the same arguments give the same choice.

    Prompts of the same kind that name equally many categories are a group, and a group keeps the share that it has
    among the candidates. So the choice makes prompts neither plainer nor denser: the source has settings for that.

    Args:
        frame: the N candidates, with a column `kind`. Those of the kind 'plain' may resemble others: the paper draws
            "a photo of a dog" many times, each time with another seed.
        named: bool, N x K: the categories that each candidate names.
        aspects: bool, N x A: what else it says; see `find_aspects`.
        embeddings: float32, N x D, of length 1.
        number: how many to choose.
        shares: float, K, sum 1: the wanted share of each category of all mentions; see `wanted_shares`.
        duplicates: cosine similarity from which a candidate resembles a chosen one too much.

    Returns:
        int64: positions of the chosen candidates in the order in which they were chosen; fewer than `number` if too
        many are duplicates.
    """
    mentions = number * max(named.sum() / max(len(named), 1), 1.0)
    wanted = np.concatenate([mentions * shares, number * aspect_shares()])
    has = np.zeros(len(wanted))
    worth = _mean_over(named, aspects)
    plain = (frame["kind"] == "plain").to_numpy()
    plain_left = round(number * plain.mean()) if len(plain) else 0
    quotas = _Quotas(frame.groupby([frame["kind"], named.sum(axis=1)], sort=True).ngroup().to_numpy())
    seen = _Seen(number, embeddings, min(duplicates, _SAME))
    free = np.ones(len(named), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < number:
        if plain_left == 0:  # even if all others are duplicates
            free &= ~plain
        if not free.any():
            break
        group = quotas.next(free)
        scores = np.where(quotas.members(group) & free, worth @ (1 / (1 + has / wanted)), -np.inf)
        for best in _falling(scores):
            free[best] = False
            if plain[best] or seen.is_new(best):
                chosen.append(best)
                plain_left -= int(plain[best])
                quotas.take(group)
                has += np.concatenate([named[best], aspects[best]])
                break
    return np.array(chosen, dtype=np.int64)


def _falling(scores: np.ndarray) -> Iterator[int]:
    """Positions from the highest score down, the first of equals first; those of minus infinity are left out."""
    while scores[best := int(scores.argmax())] > -np.inf:
        yield best
        scores[best] = -np.inf


class _Seen:
    """The chosen prompts that others must not resemble."""

    def __init__(self, most: int, embeddings: np.ndarray, limit: float) -> None:
        self._embeddings, self._limit = embeddings, limit
        self._rows, self._count = np.empty((most, embeddings.shape[1]), embeddings.dtype), 0

    def is_new(self, candidate: int) -> bool:
        """Whether the candidate resembles none of them; if so, it is one of them from now on."""
        row = self._embeddings[candidate]
        if self._count and (self._rows[: self._count] @ row).max() >= self._limit:
            return False
        self._rows[self._count] = row
        self._count += 1
        return True


class _Quotas:
    """Whose turn it is: the group that is furthest behind its share."""

    def __init__(self, groups: np.ndarray) -> None:
        self._groups = groups
        self._names, sizes = np.unique(groups, return_counts=True)
        self._shares, self._taken = sizes / max(len(groups), 1), np.zeros(len(sizes))

    def next(self, free: np.ndarray) -> int:
        """The group of the next prompt, one that has free candidates."""
        behind = self._shares * (self._taken.sum() + 1) - self._taken
        some_left = np.isin(self._names, self._groups[free])
        return int(self._names[np.where(some_left, behind, -np.inf).argmax()])

    def members(self, group: int) -> np.ndarray:
        """bool, N: who belongs to the group."""
        return self._groups == group

    def take(self, group: int) -> None:
        """Count one prompt of the group."""
        self._taken[self._names == group] += 1


def _mean_over(named: np.ndarray, aspects: np.ndarray) -> sparse.csr_array:
    """float, N x (K + A): with a vector of needs, the mean need of a prompt's categories plus that of its aspects."""
    parts = [
        sparse.csr_array(part / np.maximum(part.sum(axis=1, keepdims=True), 1) * weight)
        for part, weight in ((named, 1.0), (aspects, ASPECT_WEIGHT))
    ]
    return sparse.csr_array(sparse.hstack(parts))


def wanted_shares(balance: str, seen: np.ndarray) -> np.ndarray:
    """The share of each category that a setting `prompts.selection.balance` means.

    Args:
        balance: "uniform"; "real", as in the labelled images; "sqrt", in between.
        seen: K: how many labelled images show each category. One more is added, so that no category is left out.

    Returns:
        float64, K, sum 1.
    """
    power = {"uniform": 0.0, "sqrt": 0.5, "real": 1.0}[balance]
    wanted = (np.asarray(seen, dtype=np.float64) + 1) ** power
    return wanted / wanted.sum()

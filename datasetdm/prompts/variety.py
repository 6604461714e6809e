"""How varied prompts are: their words, their meanings, how evenly they name the categories, and in what company."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.special import entr

from datasetdm.prompts.cooccurrence import Objects

#: Figure -> what it is, in a few words; the order in which people see them.
FIGURES = {
    "prompts": "prompts",
    "distinct": "different prompts",
    "too_long": "prompts that the text encoder cannot read to their end",
    "unknown_words": "prompts with words that the text encoder does not know",
    "distinct_1": "different words, as a share of all",
    "distinct_2": "different pairs of words, as a share of all",
    "distinct_3": "different triples of words, as a share of all",
    "vocabulary_used": "tokens of the text encoder that occur, as a share of all that it has",
    "embedding_spread": "mean cosine distance of two prompts' embeddings",
    "vendi_score": "Vendi score: as varied as so many entirely different prompts",
    "fewest_per_category": "prompts that name the rarest category",
    "median_per_category": "prompts that name a category, the median",
    "most_per_category": "prompts that name the most frequent category",
    "evenness": "entropy of the categories, 1 if all are named equally often",
    "objects_per_prompt": "objects that a prompt asks for, the mean",
    "objects_per_real_image": "objects in a labelled image, the mean",
    "company_distance": "Jensen-Shannon distance of the pairs of categories to those of the labelled images, 0 to 1",
}


def distinct_ngrams(prompts: Sequence[str]) -> dict[str, float]:
    """`distinct_1` to `distinct_3`: different n-grams of words as a share of all (Li et al., arXiv 1510.03055)."""
    words = [re.findall(r"\w+", prompt.lower()) for prompt in prompts]
    figures = {}
    for n in (1, 2, 3):
        grams = Counter(tuple(text[start : start + n]) for text in words for start in range(len(text) - n + 1))
        if grams:
            figures[f"distinct_{n}"] = len(grams) / grams.total()
    return figures


def embedding_figures(embeddings: np.ndarray) -> dict[str, float]:
    """`embedding_spread` and `vendi_score` of N x D embeddings of length 1; none of fewer than two.

    The Vendi score (Friedman & Dieng, arXiv 2210.02410) is the effective number of different prompts: 1 if all are the
    same, N if no two have anything in common.
    """
    from vendi_score import vendi  # takes a second, as it imports scikit-learn

    count = len(embeddings)
    if count < 2:
        return {}
    total = embeddings.sum(axis=0, dtype=np.float64)
    similarity = (total @ total - count) / (count * (count - 1))
    return {"embedding_spread": 1 - similarity, "vendi_score": float(vendi.score_dual(embeddings.astype(np.float64)))}


def balance_figures(named: Mapping[str, int]) -> dict[str, float]:
    """How evenly categories are named, given how many prompts name each; nothing without categories."""
    counts = np.array(list(named.values()), dtype=np.float64)
    if not len(counts):
        return {}
    figures = {
        "fewest_per_category": counts.min(),
        "median_per_category": float(np.median(counts)),
        "most_per_category": counts.max(),
    }
    if len(counts) > 1 and counts.any():
        figures["evenness"] = float(entr(counts / counts.sum()).sum() / np.log(len(counts)))
    return {name: float(value) for name, value in figures.items()}


def company_figures(asked: Sequence[Objects], real: Sequence[Objects]) -> dict[str, float]:
    """What stands together in prompts, against the labelled images.

    Args:
        asked: the objects that each prompt asks for.
        real: the objects of each labelled image; empty if the task has no categories.

    Returns:
        `objects_per_prompt`; `objects_per_real_image`; `company_distance`, the Jensen-Shannon distance (base 2) between
        the distributions of pairs of categories, two objects of one category among them. What cannot be said is absent.
    """
    figures = {}
    for name, scenes in (("objects_per_prompt", asked), ("objects_per_real_image", real)):
        if scenes:
            figures[name] = float(np.mean([sum(scene.values()) for scene in scenes]))
    ours, theirs = _pairs(asked), _pairs(real)
    if ours and theirs:
        pairs = sorted(ours | theirs)
        distributions = [[found[pair] for pair in pairs] for found in (ours, theirs)]
        figures["company_distance"] = float(jensenshannon(*distributions, base=2))
    return figures


def _pairs(scenes: Sequence[Objects]) -> Counter[tuple[str, str]]:
    """In how many scenes two categories are together, or two of one."""
    found: Counter[tuple[str, str]] = Counter()
    for scene in scenes:
        names = sorted(name for name, count in scene.items() if count)
        found.update(combinations(names, 2))
        found.update((name, name) for name in names if scene[name] > 1)
    return found

"""What the next round of images should show: a need per slice, a weight per prompt, a choice of prompts.

Three signs of need are compared with their average over the data set: a weak downstream model (judged on dev), images
that the filters reject, and a P-Decoder that is unsure. Each becomes x / (x + average), which is 0.5 where a slice is
like the average, near 1 where it is much worse, and in [0, 1] for every metric.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import pandas as pd

from datasetdm import config
from datasetdm.annotations.sizes import size_of
from datasetdm.prompts.attributes import CATEGORY, SIZE, kind_of, slice_name, slices_of
from datasetdm.prompts.mentions import Word, asked_counts

AVERAGE = 0.5  # the need of a slice that is like the others, and of one that nothing is known of


@dataclass(frozen=True)
class Measure:
    """A figure of a slice, and the number of images or objects that it was measured on."""

    value: float
    count: int


@dataclass(frozen=True, kw_only=True)
class Need:
    """How much a slice needs more images, in [0, 1]; 0.5 is average.

    Attributes:
        weakness: by the scores of the downstream model, the mean over seeds.
        rejection: by the share of its images that the filters reject.
        uncertainty: by the P-Decoder's scores of what was accepted.
        need: the three together.
    """

    weakness: float
    rejection: float
    uncertainty: float
    need: float


def assess_needs(
    scores: Sequence[tuple[Measure, Mapping[str, Measure]]],
    manifest: pd.DataFrame,
    settings: config.Feedback,
    *,
    higher_is_better: bool,
) -> dict[str, Need]:
    """The need of every slice that dev or the drawn images show.

    Args:
        scores: per seed the score of the whole of dev, and that of each slice.
        manifest: of all images drawn so far, a row per image and decoder.
        settings: weights and shrinkage.
        higher_is_better: whether high scores are good ones.
    """
    rejected, unsure = _rejections(manifest), _uncertainties(manifest)
    names = sorted({*rejected[1], *unsure[1]}.union(*(slices for _, slices in scores)))
    found = {}
    for name in names:
        signs = {
            "weakness": fmean(_excess(one, name, settings.shrinkage, inverse=higher_is_better) for one in scores),
            "rejection": _excess(rejected, name, settings.shrinkage),
            "uncertainty": _excess(unsure, name, settings.shrinkage),
        }
        weights = settings.weights.model_dump()
        need = sum(weights[sign] * value for sign, value in signs.items()) / sum(weights.values())
        found[name] = Need(**signs, need=need)
    return found


def place_prompts(prompts: pd.DataFrame, manifest: pd.DataFrame) -> list[dict[str, float]]:
    """The slices that each prompt asks for: slice -> share in (0, 1], a row of the table each.

    By its words a prompt is in a slice or not. To slices of object size it belongs in shares, by what was drawn: by the
    sizes that images with its categories, and with its number of objects, came out with.
    """
    sizes = _SizesByPrompt(manifest)
    rows = zip(prompts["prompt"], _slices(prompts), strict=True)
    return [dict.fromkeys(sorted(slices), 1.0) | sizes.of(prompt, slices) for prompt, slices in rows]


def weigh_prompts(
    placed: Sequence[Mapping[str, float]], needs: Mapping[str, Need], settings: config.Feedback
) -> np.ndarray:
    """How often each prompt should be drawn, as shares that add up to 1 (float64, one per row).

    A prompt is preferred by the product of its slices' needs, relative to average ones. (The mean would do next to
    nothing: one weak slice among four average ones is hardly above average.) `strength` is the exponent of the product,
    and `floor` keeps every prompt possible.

    Args:
        placed: the slices of each prompt, as `place_prompts` has them.
        needs: by slice.
        settings: strength and floor.
    """
    wanted = np.array([_relative_need(shares, needs) for shares in placed]) ** settings.strength
    even = np.full(len(placed), 1 / len(placed))
    tilted = wanted / wanted.sum() if wanted.sum() > 0 else even
    return settings.floor * even + (1 - settings.floor) * tilted


def choose_rows(weights: np.ndarray, placed: Sequence[Mapping[str, float]], count: int, *, seed: int) -> list[int]:
    """`count` positions of a table, in its order, each about `count` times its weight (systematic sampling).

    A row is taken less than once more or less often than its share says; rows of a large weight are taken again. The
    same holds for each category on its own, as even steps go through the prompts sorted by their slices.

    Args:
        weights: shares that add up to 1.
        placed: the slices of each prompt.
        count: how many to choose.
        seed: decides where the steps start, and the order of prompts with the same slices.
    """
    rng = np.random.default_rng(seed)
    ties = rng.permutation(len(weights))
    order = np.array(sorted(range(len(weights)), key=lambda row: (sorted(placed[row]), ties[row])))
    steps = (rng.random() + np.arange(count)) / count
    positions = np.searchsorted(np.cumsum(weights[order]) / weights.sum(), steps, side="right")
    return sorted(order[np.minimum(positions, len(weights) - 1)].tolist())


def slice_shares(placed: Sequence[Mapping[str, float]], rows: Sequence[int]) -> dict[str, float]:
    """The share of some rows (positions, with repetitions) that asks for each slice of the table."""
    shares = dict.fromkeys(sorted({name for slices in placed for name in slices}), 0.0)
    for row in rows:
        for name, share in placed[row].items():
            shares[name] += share / len(rows)
    return shares


def _excess(
    measures: tuple[Measure, Mapping[str, Measure]], name: str, shrinkage: float, *, inverse: bool = False
) -> float:
    """How far a slice is above the average, in [0, 1]; few images say little. `inverse`: below the average."""
    whole, slices = measures
    average, one = whole.value, slices.get(name)
    if one is None or not (math.isfinite(one.value) and math.isfinite(average)):
        return AVERAGE
    shrunk = (one.count * one.value + shrinkage * average) / (one.count + shrinkage)
    much, little = (average, shrunk) if inverse else (shrunk, average)
    return much / (much + little) if much + little > 0 else AVERAGE


def _relative_need(shares: Mapping[str, float], needs: Mapping[str, Need]) -> float:
    """The product of the needs, 1 for average ones; a slice that a prompt belongs to by half counts as its root."""
    return math.prod((needs[name].need / AVERAGE) ** share for name, share in shares.items() if name in needs)


def _rejections(manifest: pd.DataFrame) -> tuple[Measure, dict[str, Measure]]:
    """The share of images that the filters reject: of all, and by slice."""
    return _means(manifest, 1.0 - manifest["accepted"].astype(float))


def _uncertainties(manifest: pd.DataFrame) -> tuple[Measure, dict[str, Measure]]:
    """1 - the P-Decoder's score of accepted images: of all, and by slice; nothing for tasks without scores."""
    if "score" not in manifest:
        return Measure(math.nan, 0), {}
    accepted = manifest[manifest["accepted"].astype(bool)]
    return _means(accepted, 1.0 - accepted["score"])


def _means(manifest: pd.DataFrame, values: "pd.Series[float]") -> tuple[Measure, dict[str, Measure]]:
    sums: dict[str, list[float]] = {}
    for slices, value in zip(_slices(manifest, "prompt_categories"), values, strict=True):
        for name in slices:
            sums.setdefault(name, []).append(value)
    whole = Measure(float(values.mean()) if len(values) else math.nan, len(values))
    return whole, {name: Measure(fmean(found), len(found)) for name, found in sums.items()}


def _slices(prompts: pd.DataFrame, categories: str = "categories") -> list[frozenset[str]]:
    rows = zip(prompts["prompt"], prompts[categories], strict=True)
    return [slices_of(prompt, filter(None, names.split(";"))) for prompt, names in rows]


class _SizesByPrompt:
    """How large the objects of a prompt come out, learnt from the accepted images of prompts like it (naive Bayes).

    Args:
        manifest: of the images drawn so far. Tasks without objects have no sizes.
    """

    def __init__(self, manifest: pd.DataFrame):
        self._all: Counter[str] = Counter()
        self._by_trait: dict[str, Counter[str]] = {}
        if not {"num_objects", "covered_area"} <= {*manifest.columns}:
            return
        accepted = manifest[manifest["accepted"].astype(bool)]
        columns = zip(accepted["prompt"], accepted["covered_area"], accepted["num_objects"], strict=True)
        for (prompt, covered, objects), slices in zip(columns, _slices(accepted, "prompt_categories"), strict=True):
            if objects and covered:
                size = slice_name(SIZE, size_of(covered / objects, 1, 1))  # drawn images are square
                self._all[size] += 1
                for trait in _traits(prompt, slices):
                    self._by_trait.setdefault(trait, Counter())[size] += 1

    def of(self, prompt: str, slices: Iterable[str]) -> dict[str, float]:
        """Size slice -> share; the shares add up to 1."""
        known = [self._by_trait[trait] for trait in _traits(prompt, slices) if trait in self._by_trait]
        odds = {}
        for size, count in self._all.items():
            prior = count / self._all.total()
            likelihoods = [(sizes[size] + prior) / (sizes.total() + 1) / prior for sizes in known]
            odds[size] = prior * math.prod(likelihoods)
        return {size: value / sum(odds.values()) for size, value in sorted(odds.items())}


def _traits(prompt: str, slices: Iterable[str]) -> list[str]:
    """What decides how large objects come out: which they are, and how many."""
    categories = sorted(name for name in slices if kind_of(name) == CATEGORY)
    words = [Word(name.removeprefix(f"{CATEGORY}: ").replace("_", " ")) for name in categories]
    return [*categories, f"objects: {sum(count or 0 for count in asked_counts(prompt, words).values())}"]

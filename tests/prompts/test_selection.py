"""The choice of prompts out of many."""

import time

import numpy as np
import pandas as pd
import pytest

from datasetdm import config
from datasetdm.annotations.sample import Category
from datasetdm.prompts import write_prompts
from datasetdm.prompts.aspects import aspect_shares, aspect_values, find_aspects
from datasetdm.prompts.selection import select, wanted_shares


def unlike(count: int, size: int = 64) -> np.ndarray:
    """Embeddings of which no two are alike."""
    rows = np.random.default_rng(0).normal(size=(count, size)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def matrix(frame: pd.DataFrame, names: list[str]) -> np.ndarray:
    return np.array([[name in text.split(";") for name in names] for text in frame["categories"]], dtype=bool).reshape(
        -1, len(names)
    )


def choose(frame: pd.DataFrame, names: list[str], number: int, **changes) -> np.ndarray:
    given = {
        "embeddings": unlike(len(frame)),
        "shares": wanted_shares("uniform", np.zeros(len(names))),
        "duplicates": 0.97,
        **changes,
    }
    return select(frame, matrix(frame, names), find_aspects(frame["prompt"].tolist()), number=number, **given)


def table(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["prompt", "categories", "kind"])


def test_a_skewed_source_is_balanced() -> None:
    rows = [("a dog", "dog", "own")] * 90 + [("a forklift", "forklift", "own")] * 10
    chosen = choose(table(rows), ["dog", "forklift"], 20)
    assert sorted(chosen[:20] < 90) == [False] * 10 + [True] * 10
    assert [int((chosen[:half] < 90).sum()) for half in (2, 10)] == [1, 5]  # at every length of the list


def test_shares_follow_the_labelled_images() -> None:
    rows = [("a dog", "dog", "own"), ("a forklift", "forklift", "own")] * 100
    for balance, dogs in (("uniform", 50), ("sqrt", 75), ("real", 90)):
        shares = wanted_shares(balance, np.array([80, 8]))
        assert shares.sum() == pytest.approx(1)
        chosen = choose(table(rows), ["dog", "forklift"], 100, shares=shares)
        assert (chosen % 2 == 0).sum() == pytest.approx(dogs, abs=2)


def test_duplicates_are_left_out_and_plain_prompts_stay() -> None:
    rows = [("a photo of a dog", "dog", "plain")] * 4 + [(f"dogs {number}", "dog", "own") for number in range(12)]
    embeddings = unlike(16)
    embeddings[:4] = embeddings[0]
    embeddings[4:14] = embeddings[4]  # ten of the others say the same
    chosen = choose(table(rows), ["dog"], 8, embeddings=embeddings)
    assert sorted(chosen) == [0, 1, 4, 14, 15]  # a quarter of eight is plain; three of twelve differ
    everything = choose(table(rows), ["dog"], 16, embeddings=embeddings, duplicates=1.0)
    assert len(everything) == 7  # the same to the last bit is a duplicate at any threshold


def test_near_duplicates_by_threshold() -> None:
    angles = np.deg2rad([0, 10, 60])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    rows = table([("a", "dog", "own"), ("b", "dog", "own"), ("c", "dog", "own")])
    assert choose(rows, ["dog"], 3, embeddings=embeddings, duplicates=0.97).tolist() == [0, 2]  # cos 10 degrees: 0.985
    assert choose(rows, ["dog"], 3, embeddings=embeddings, duplicates=0.99).tolist() == [0, 1, 2]


def test_rare_light_and_weather_come_first() -> None:
    rows = [("a dog on the grass", "dog", "own")] * 30 + [("a dog on the grass at night", "dog", "own")]
    rows += [("a dog on the grass in the rain", "dog", "own")]
    assert {30, 31} <= set(choose(table(rows), ["dog"], 4).tolist())


def test_prompts_become_neither_plainer_nor_denser(coco: list[Category]) -> None:
    frame = write_prompts(coco, config.Prompts(num_prompts=900, max_objects=5))
    chosen = frame.iloc[choose(frame, [category.name for category in coco], 300)]
    assert len(chosen) == 300 and chosen["prompt"].nunique() > 200
    assert (chosen["kind"] == "plain").mean() == pytest.approx((frame["kind"] == "plain").mean(), abs=0.01)
    many, as_many = (part["categories"].str.count(";").value_counts(normalize=True) for part in (frame, chosen))
    assert as_many.to_dict() == pytest.approx(many.to_dict(), abs=0.01)
    values = [find_aspects(part["prompt"].tolist()).sum(axis=0) / len(part) for part in (frame[:300], chosen)]
    lights = [aspect == "light" for aspect, _ in aspect_values()]
    assert values[1][lights].min() > values[0][lights].min()


def test_ten_thousand_candidates_take_seconds(coco: list[Category]) -> None:
    frame = write_prompts(coco, config.Prompts(num_prompts=10_000, max_objects=4))
    names, embeddings = [category.name for category in coco], unlike(10_000, 256)
    begin = time.process_time()
    chosen = choose(frame, names, 3000, embeddings=embeddings)
    assert time.process_time() - begin < 30
    assert len(chosen) == len(set(chosen.tolist())) == 3000
    assert np.array_equal(chosen, choose(frame, names, 3000, embeddings=embeddings))
    named = matrix(frame, names)[chosen].sum(axis=0)
    # Not exactly even: what stands in rare weather is wanted for that, too.
    assert named.min() > 0.9 * named.mean() and named.max() < 1.25 * named.mean()


def test_prompts_of_no_category_and_no_prompts() -> None:
    rows = table([("a street in the rain", "", "own"), ("a street", "", "own"), ("a dog", "dog", "own")])
    assert sorted(choose(rows, ["dog"], 3)) == [0, 1, 2]
    assert choose(rows[:0], ["dog"], 3, embeddings=unlike(0)).tolist() == []


def test_aspects_are_found_as_phrases() -> None:
    said = dict(zip(aspect_values(), find_aspects(["Two red cars on the street At Night"])[0], strict=True))
    assert {key for key, found in said.items() if found} == {
        ("place", "street"), ("light", "at night"), ("attribute", "red"),
    }  # fmt: skip
    assert not find_aspects(["a tired boy at nightfall in a covered market"]).any()
    assert aspect_shares().sum() == pytest.approx(len({aspect for aspect, _ in aspect_values()}))

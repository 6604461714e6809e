"""Figures of variety."""

import math

import numpy as np
import pytest

from datasetdm.prompts.variety import (
    FIGURES,
    balance_figures,
    company_figures,
    distinct_ngrams,
    embedding_figures,
)


def test_ngrams_by_hand() -> None:
    figures = distinct_ngrams(["A dog, a cat.", "a dog"])
    assert figures == {"distinct_1": 3 / 6, "distinct_2": 3 / 4, "distinct_3": 1.0}
    assert distinct_ngrams(["dog", "dog"]) == {"distinct_1": 0.5}
    assert distinct_ngrams([]) == {}


def test_embeddings_of_the_same_and_of_entirely_different_prompts() -> None:
    same = np.tile(np.array([[0.6, 0.8]], np.float32), (5, 1))
    assert embedding_figures(same) == pytest.approx({"embedding_spread": 0, "vendi_score": 1}, abs=1e-6)
    different = np.eye(4, dtype=np.float32)
    assert embedding_figures(different) == pytest.approx({"embedding_spread": 1, "vendi_score": 4})
    assert embedding_figures(different[:1]) == {}


def test_vendi_score_is_that_of_the_similarity_matrix() -> None:
    rows = np.random.default_rng(0).normal(size=(7, 30)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = embedding_figures(rows)
    similar = rows @ rows.T
    values = np.linalg.eigvalsh(similar / 7)
    assert found["vendi_score"] == pytest.approx(math.exp(-(values * np.log(values)).sum()), rel=1e-4)
    assert found["embedding_spread"] == pytest.approx(1 - similar[np.triu_indices(7, 1)].mean(), rel=1e-5)


def test_balance() -> None:
    even = balance_figures({"forklift": 4, "safety vest": 4})
    assert even == {"fewest_per_category": 4, "median_per_category": 4, "most_per_category": 4, "evenness": 1}
    assert balance_figures({"forklift": 4, "safety vest": 0})["evenness"] == 0
    assert balance_figures({"forklift": 4}) == {
        "fewest_per_category": 4, "median_per_category": 4, "most_per_category": 4,
    }  # fmt: skip
    assert "evenness" not in balance_figures({"forklift": 0, "pallet": 0}) and balance_figures({}) == {}


def test_company() -> None:
    real = [{"cup": 1, "table": 1}, {"dog": 2}]
    assert company_figures(real, real)["company_distance"] == 0
    apart = company_figures([{"cup": 1, "dog": 1}], real)
    assert apart == {"objects_per_prompt": 2, "objects_per_real_image": 2, "company_distance": pytest.approx(1)}
    half = company_figures([{"cup": 1, "table": 1}], real)["company_distance"]
    assert 0.3 < half < 0.9


def test_categories_that_never_meet_have_no_distance() -> None:
    alone = [{"cup": 1}, {"dog": 1}]
    assert company_figures(alone, alone) == {"objects_per_prompt": 1, "objects_per_real_image": 1}
    assert company_figures(alone, []) == {"objects_per_prompt": 1}


def test_all_figures_are_explained() -> None:
    rows = np.eye(3, dtype=np.float32)
    scenes = [{"a": 2}]
    figures = distinct_ngrams(["a b c"]) | embedding_figures(rows) | balance_figures({"a": 1, "b": 2})
    assert {*figures, *company_figures(scenes, scenes)} <= set(FIGURES)

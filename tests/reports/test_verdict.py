"""The sentence that opens a report."""

import json
from pathlib import Path
from typing import Any

import pytest

from datasetdm.reports.comparison import summarize
from datasetdm.reports.verdict import verdict

RESULTS = Path(__file__).parents[2] / "benchmarks/results"


def metrics(per_arm: dict[str, list[float]], name: str = "mask_ap") -> dict[str, Any]:
    """A comparison in which each arm has a figure for seed 0, 1, ..."""
    per_seed = {arm: {seed: {name: value} for seed, value in enumerate(values)} for arm, values in per_arm.items()}
    counts = {"num_real": 40, "num_synthetic": 300}
    return {"benchmark": "coco", "headline": [name], **counts, "arms": summarize(per_seed)}


def test_one_seed_proves_nothing() -> None:
    found = verdict(metrics({"real": [0.1], "both": [0.3]}))
    assert found.kind == "open" and "seeds" in found.advice
    assert found.sentence == (
        "On the test images of coco, training on 40 labelled and 300 synthetic images (`both`) instead of 40 labelled "
        "images (`real`) improves AP from 10.0 % to 30.0 %; with one seed, nobody can tell this from chance."
    )
    assert found.difference == "+20.0 (one seed, no interval)"


@pytest.mark.parametrize(
    ("both", "kind", "words"),
    [
        ([0.20, 0.21, 0.22], "better", "which is more than chance"),
        ([0.05, 0.06, 0.07], "worse", "which is more than chance"),
        ([0.05, 0.12, 0.19], "open", "the interval includes zero"),
    ],
)
def test_the_interval_decides(both: list[float], kind: str, words: str) -> None:
    found = verdict(metrics({"real": [0.10, 0.11, 0.12], "both": both}))
    assert found.kind == kind and words in found.sentence and "3 seeds" in found.sentence
    assert bool(found.advice) == (kind == "open")


def test_a_lower_error_is_an_improvement() -> None:
    falling = verdict(metrics({"real": [0.31, 0.30, 0.32], "both": [0.21, 0.20, 0.22]}, "abs_rel"))
    assert falling.kind == "better"
    assert "improves abs rel from 0.310 to 0.210, where lower is better" in falling.sentence
    rising = verdict(metrics({"real": [0.21, 0.20, 0.22], "both": [0.31, 0.30, 0.32]}, "abs_rel"))
    assert rising.kind == "worse" and "worsens abs rel" in rising.sentence


def test_only_seeds_that_both_arms_have_are_compared() -> None:
    found = verdict(metrics({"real": [0.1, 0.1, 0.9], "both": [0.2, 0.2]}))
    assert "from 10.0 % to 20.0 %" in found.sentence and "2 seeds" in found.sentence


def test_without_both_the_synthetic_images_alone_are_compared() -> None:
    assert "(`synthetic`) instead of" in verdict(metrics({"real": [0.1], "synthetic": [0.3]})).sentence


def test_arms_that_answer_nothing_are_named() -> None:
    found = verdict(metrics({"real": [0.1], "oracle": [0.3]}))
    assert found.kind == "none" and "`real`, `oracle`" in found.sentence and "`both`" in found.advice
    assert found.difference == "-"


def test_equal_figures_are_neither_better_nor_worse() -> None:
    found = verdict(metrics({"real": [0.1, 0.1], "both": [0.1, 0.1]}))
    assert found.kind == "open" and "leaves AP unchanged" in found.sentence


@pytest.mark.parametrize("study", ["coco", "demo"])
def test_the_studies_of_this_repository_are_more_than_chance(study: str) -> None:
    found = verdict(json.loads((RESULTS / study / "metrics.json").read_text()))
    assert found.kind == "better" and found.difference.startswith("+")

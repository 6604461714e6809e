"""Paired differences of arms, and the share of a gap that is closed."""

from pathlib import Path

import pytest

from datasetdm.reports.comparison import summarize
from datasetdm.reports.contrasts import contrast_lines, contrasts, paired_difference
from datasetdm.reports.page import render_page


def arms(name: str, **values: tuple[float, ...]) -> dict:
    return summarize({arm: {seed: {name: value} for seed, value in enumerate(row)} for arm, row in values.items()})


def test_the_interval_is_students_over_the_differences_of_each_seed() -> None:
    # Differences 0.1, 0.2, 0.3: standard error 0.1 / sqrt(3), t of two degrees of freedom 4.3027.
    found = paired_difference({"0": 0.2, "1": 0.4, "2": 0.9, "5": 1.0}, {"0": 0.1, "1": 0.2, "2": 0.6, "6": 0.0})
    assert found is not None
    assert found["mean"] == pytest.approx(0.2)
    assert found["interval"] == pytest.approx([0.2 - 0.24841, 0.2 + 0.24841], abs=1e-5)
    assert found["seeds"] == pytest.approx({"0": 0.1, "1": 0.2, "2": 0.3})


def test_one_seed_has_no_interval_and_none_no_difference() -> None:
    found = paired_difference({"0": 0.2}, {"0": 0.5, "1": 0.1})
    assert found is not None and found["interval"] is None and found["mean"] == pytest.approx(-0.3)
    assert paired_difference({"0": 0.2}, {"1": 0.5}) is None


def test_only_differences_of_arms_that_are_there() -> None:
    found = contrasts(arms("miou", real=(0.2,), both=(0.3,), synthetic=(0.1,), pseudo=(0.4,)), ["miou", "miou_unseen"])
    assert list(found) == ["miou"]
    assert list(found["miou"]["differences"]) == ["both - real", "synthetic - pseudo"]
    assert found["miou"]["gap_closed"] is None
    assert contrasts(arms("miou", real=(0.2,)), ["miou"]) == {}


@pytest.mark.parametrize(
    ("name", "real", "both", "oracle", "closed"),
    [
        ("miou", 0.2, 0.3, 0.4, 0.5),
        ("miou", 0.2, 0.1, 0.4, -0.5),
        ("miou", 0.4, 0.5, 0.2, None),  # the oracle is worse: no gap
        ("abs_rel", 0.4, 0.3, 0.2, 0.5),  # lower is better
        ("abs_rel", 0.2, 0.3, 0.4, None),
        ("miou", 0.2, 0.3, 0.2, None),
    ],
)
def test_the_gap_is_that_between_real_and_a_better_oracle(name, real, both, oracle, closed) -> None:
    found = contrasts(arms(name, real=(real,), both=(both,), oracle=(oracle,)), [name])[name]["gap_closed"]
    assert found is None if closed is None else found == pytest.approx(closed)


def test_sentences_and_the_page_tell_sign_interval_and_direction(tmp_path: Path) -> None:
    found = arms("abs_rel", real=(0.4, 0.5), both=(0.3, 0.3), oracle=(0.2, 0.2))
    metrics = {
        "benchmark": "nyu",
        "world": "miniworld",
        "headline": ["abs_rel"],
        "num_real": 40,
        "num_synthetic": 300,
        "arms": found,
        "contrasts": contrasts(found, ["abs_rel"]),
    }
    lines = contrast_lines(metrics)
    assert lines == [
        "both - real: abs rel -0.150 (95 % interval -0.785 to +0.485, 2 seeds, paired; lower is better)",
        "gap closed, (both - real) / (oracle - real): 60 % of the abs rel",
    ]
    page = render_page(metrics, facts={})
    assert all(line in page for line in lines)
    assert contrast_lines({}) == []

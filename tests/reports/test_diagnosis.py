"""The verdict on a small synthetic set, with figures whose answer is known."""

import pytest

from datasetdm.reports.diagnosis import Effort, break_even, conclude, diagnosis_text

EFFORT = Effort(num_real=40, num_synthetic=200, minutes_per_label=6.0, compute_seconds=1800.0)
FIGURES = {
    "real": 0.10,
    "real_half": 0.06,
    "both": 0.14,
    "true": 0.30,
    "pseudo": 0.12,
    "synthetic": 0.10,
    "synthetic_half": 0.07,
}


def test_the_weak_link_is_where_most_is_lost() -> None:
    verdict = conclude("mask_ap", FIGURES, EFFORT)
    assert verdict["weak_link"] == "label" and verdict["links"]["label"] == pytest.approx(0.18)
    assert conclude("mask_ap", {**FIGURES, "pseudo": 0.29}, EFFORT)["weak_link"] == "image"
    plenty = {**FIGURES, "pseudo": 0.29, "synthetic": 0.28}
    assert conclude("mask_ap", plenty, EFFORT)["weak_link"] == "amount"


def test_more_images_are_worth_making_where_they_help_and_the_last_doubling_did() -> None:
    assert conclude("mask_ap", FIGURES, EFFORT)["go"]
    assert not conclude("mask_ap", {**FIGURES, "both": 0.09}, EFFORT)["go"]
    assert not conclude("mask_ap", {**FIGURES, "synthetic_half": 0.11}, EFFORT)["go"]


def test_errors_count_the_other_way_round() -> None:
    errors = {name: 1 - value for name, value in FIGURES.items()}
    assert conclude("abs_rel", errors, EFFORT)["links"] == pytest.approx(conclude("mask_ap", FIGURES, EFFORT)["links"])
    assert conclude("abs_rel", errors, EFFORT)["go"] and not conclude("abs_rel", FIGURES, EFFORT)["go"]


def test_a_gain_of_one_doubling_is_worth_as_many_labels_again() -> None:
    found = break_even(0.04, 0.04, EFFORT)
    assert found == {"labels": pytest.approx(40), "annotation_hours": pytest.approx(4), "compute_hours": 0.5}
    assert break_even(-0.01, 0.04, EFFORT)["labels"] == 0
    assert break_even(0.04, 0.0, EFFORT)["labels"] is None


def test_the_text_says_what_to_do() -> None:
    text = diagnosis_text("coco", conclude("mask_ap", FIGURES, EFFORT), EFFORT)
    assert text.startswith("# coco: GO") and "**label**" in text and "| label | true - pseudo | +18.0 |" in text
    assert "| 40 | 200 | +4.0 | 40 | 4.0 | 0.50 |" in text
    blind = diagnosis_text("coco", conclude("mask_ap", {**FIGURES, "real_half": 0.2}, EFFORT), EFFORT)
    assert "unknown" in blind


def test_errors_keep_their_unit() -> None:
    errors = {name: 1 - value for name, value in FIGURES.items()}
    text = diagnosis_text("nyu", conclude("abs_rel", errors, EFFORT), EFFORT)
    assert "| label | true - pseudo | +0.180 |" in text and "| 40 | 200 | +0.040 |" in text


def test_the_text_tells_scenes_that_hold_fewer_objects() -> None:
    verdict = conclude("mask_ap", FIGURES, EFFORT, {"real": 3.1, "synthetic": 1.05})
    assert "3.1 in real images, 1.1 in accepted generated ones" in diagnosis_text("coco", verdict, EFFORT)
    assert "objects per image" not in diagnosis_text("voc", conclude("miou", FIGURES, EFFORT), EFFORT)

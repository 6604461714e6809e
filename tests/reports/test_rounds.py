from typing import Any

import pytest

from datasetdm.reports.rounds import HEADINGS, round_metrics, round_sections, round_tables


def found(value: float | None, need: float, before: float = 0.1, after: float | None = 0.2) -> dict[str, Any]:
    shares = {"share_of_prompts": before, "share_of_next": after}
    signs = {"weakness": need, "rejection": 0.5, "uncertainty": 0.5}
    return {"value": value, "count": 0 if value is None else 7, "need": need, **signs, **shares}


FIRST = {
    "round": 1,
    "images": 100,
    "accepted_fraction": 0.6,
    "metric": "mask_ap",
    "score": {"value": 0.3, "count": 60},
    "slices": {
        "category: unseen": found(None, 0.9),
        "light and weather: night, rain": found(0.05, 0.8, before=0.0, after=0.0),
        "category: dog": found(0.1, 0.7),
        "category: car": found(0.6, 0.4, before=0.3, after=0.15),
    },
    "next": [3, 4],
}
LAST = {
    **FIRST,
    "round": 2,
    "images": 200,
    "score": {"value": 0.35, "count": 60},
    "slices": {"category: dog": found(0.25, 0.6, after=None), "category: car": found(0.61, 0.4, after=None)},
    "next": [],
}


def test_the_neediest_slices_come_first_with_what_became_of_them() -> None:
    first, last = round_sections([FIRST, LAST])
    assert first.title == "After round 1" and "100 images drawn so far, 60 % accepted" in first.lines[0]
    assert [row[0] for row in first.rows] == ["light and weather: night, rain", "category: dog", "category: car"]
    assert first.rows[1] == ["category: dog", "7", "10.0", "0.70", "10.0 %", "20.0 %", "25.0"]
    assert last.rows[0][-2:] == ["-", "-"]  # no round follows


def test_what_no_prompt_asks_for_is_said_while_it_can_still_be_drawn() -> None:
    first, last = round_sections([FIRST, LAST])
    assert "No prompt of the table asks for: light and weather: night, rain." in first.lines[1]
    assert len(last.lines) == 1


def test_tables_and_metrics() -> None:
    tables = round_tables([FIRST, LAST])
    assert list(tables) == ["After round 1", "After round 2"]
    assert f"| {' | '.join(HEADINGS)} |" in tables["After round 1"]
    metrics = round_metrics([FIRST, LAST])
    assert metrics["round_1/mask_ap"] == 0.3 and metrics["round_2/mask_ap"] == 0.35
    assert metrics["round_1/mask_ap_weakest"] == pytest.approx((0.1 + 0.6) / 2)
    assert metrics["round_2/mask_ap_weakest"] == pytest.approx((0.25 + 0.61) / 2)
    assert round_sections([]) == [] and round_tables([]) == round_metrics([]) == {}

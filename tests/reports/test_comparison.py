"""Figures over seeds: mean, spread, table."""

import statistics
from pathlib import Path

import numpy as np

from datasetdm.reports.comparison import plot, summarize, table
from datasetdm.reports.page import render_page
from datasetdm.reports.pictures import contact_sheet

PER_SEED = {"real": {0: {"mask_ap": 0.1}, 1: {"mask_ap": 0.2, "mask_ap_large": 0.5}}}


def metrics() -> dict:
    return {
        "benchmark": "coco",
        "world": "miniworld",
        "num_real": 40,
        "num_synthetic": 300,
        "arms": {**summarize(PER_SEED), **summarize({"both": {0: {"mask_ap": 0.25}}})},
    }


def test_mean_and_sample_deviation() -> None:
    figure = summarize(PER_SEED)["real"]["mask_ap"]
    assert np.isclose(figure["mean"], 0.15) and np.isclose(figure["std"], statistics.stdev([0.1, 0.2]))
    assert figure["seeds"] == {"0": 0.1, "1": 0.2}


def test_metric_undefined_for_a_seed_is_counted_where_it_is_defined() -> None:
    arms = metrics()["arms"]
    assert arms["real"]["mask_ap_large"]["seeds"] == {"1": 0.5}
    assert "mask_ap_large" not in arms["both"]
    assert arms["both"]["mask_ap"]["std"] is None


def test_table_has_a_row_per_arm() -> None:
    lines = table(metrics()).splitlines()
    assert lines[2] == "| real | 15.0 ± 7.1 | 50.0 | 2 |"
    assert lines[3] == "| both | 25.0 | - | 1 |"


def test_page_is_self_contained_and_tells_its_world(tmp_path: Path) -> None:
    plot(metrics(), "mask_ap", tmp_path / "arms.png")
    page = render_page(metrics(), plot=tmp_path / "arms.png", galleries=[], facts={"Seeds": "0 <1>"})
    assert "embedded world" in page and "http" not in page and "0 &lt;1&gt;" in page and "15.0" in page


def test_depth_errors_are_no_percentages() -> None:
    arms = summarize({"real": {0: {"abs_rel": 0.3125, "delta1": 0.5}}})
    assert table({**metrics(), "arms": arms}).splitlines()[2] == "| real | 0.312 | 50.0 | 1 |"


def test_contact_sheet_keeps_proportions() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    sheet = contact_sheet([wide, wide, wide], columns=2, cell=40)
    assert sheet.shape == (4 + 2 * 44, 4 + 2 * 44, 3)
    assert (sheet[:, :, 0] == 0).sum() == 3 * 10 * 40

"""Figures over seeds: mean, spread, table."""

import statistics
from pathlib import Path

import numpy as np

from datasetdm.reports.chart import bars
from datasetdm.reports.comparison import plot, summarize, table
from datasetdm.reports.pictures import GAP, contact_sheet
from datasetdm.utils.images import read_image

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


def test_a_bar_for_every_arm_and_the_spread_of_several_seeds(tmp_path: Path) -> None:
    file = tmp_path / "arms.png"
    plot(metrics(), "mask_ap", file)
    assert read_image(file).shape[0] > 200
    real, both = bars(metrics()["arms"], "mask_ap")
    assert (real.arm, both.arm) == ("real", "both") and real.length < both.length < 100
    assert len(real.seeds) == 2 and real.spread is not None and real.spread[0] < real.length < real.spread[1]
    assert both.seeds == [] and both.spread is None  # one seed has no spread, not a spread of zero


def test_depth_errors_are_no_percentages() -> None:
    arms = summarize({"real": {0: {"abs_rel": 0.3125, "delta1": 0.5}}})
    assert table({**metrics(), "arms": arms}).splitlines()[2] == "| real | 0.312 | 50.0 | 1 |"


def test_a_contact_sheet_scales_no_picture() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (10, 40, 3), dtype=np.uint8) for _ in range(3)]
    sheet = contact_sheet(pictures)
    assert sheet.shape == (10 + 2 * GAP, 3 * (40 + GAP) + GAP, 3)
    for number, picture in enumerate(pictures):
        left = GAP + number * (40 + GAP)
        np.testing.assert_array_equal(sheet[GAP : GAP + 10, left : left + 40], picture)
    wide = contact_sheet([np.zeros((10, 1000, 3), np.uint8)] * 2)
    assert wide.shape == (2 * (10 + GAP) + GAP, 1000 + 2 * GAP, 3)


def test_a_caption_stays_below_its_picture() -> None:
    blank = np.full((30, 120, 3), 255, np.uint8)
    sheet = contact_sheet([blank, blank], ["a caption that is far longer than the picture is wide", ""])
    written = (sheet != 255).any(axis=2)
    assert written[GAP + 30 :, GAP : GAP + 120].any() and not written[: GAP + 30].any()
    assert not written[:, GAP + 120 :].any()

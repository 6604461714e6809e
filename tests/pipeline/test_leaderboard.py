"""The leaderboard is written from what there is, and leaves nothing else behind."""

import json
from pathlib import Path

import pytest

from datasetdm.config import load_params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.leaderboard import make_leaderboard

REPORTS = Path("data/reports")


def test_what_a_killed_process_left_behind_is_removed(project) -> None:
    folder = project({"format": "coco", "root": "data/raw/coco"})
    params = load_params(folder / "params.yaml")
    with pytest.raises(DatasetDMError, match="no comparison under data/reports yet"):
        make_leaderboard(params, REPORTS)
    reports = folder / "data/reports"
    (reports / "coco").mkdir(parents=True)
    figure = {"mean": 0.5, "std": None, "seeds": {"0": 0.5}}
    metrics = {
        "benchmark": "coco", "task": "instance", "world": "miniworld", "headline": ["mask_ap"], "num_real": 4,
        "num_synthetic": 5, "arms": {"real": {"mask_ap": figure}}, "contrasts": [], "dev": {}, "baseline": {},
    }  # fmt: skip
    (reports / "coco/metrics.json").write_text(json.dumps(metrics))
    for name in (".leaderboard.html.bbdbcd8f.tmp", ".leaderboard.json.0123abcd.tmp"):
        (reports / name).write_text("half of it")
    assert make_leaderboard(params, REPORTS).metrics == {"benchmarks": 1.0}
    left = {path.name for path in reports.iterdir()} - {"coco"}
    assert left == {"leaderboard.json", "leaderboard.md", "leaderboard.html"}

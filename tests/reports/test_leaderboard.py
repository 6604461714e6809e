"""The table over all benchmarks."""

import json
import math

import pytest

from datasetdm.config import Params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.leaderboard import make_leaderboard
from datasetdm.pipeline.paths import Paths
from datasetdm.reports.comparison import summarize
from datasetdm.reports.leaderboard import leaderboard, leaderboard_table, render_leaderboard


def comparison(benchmark: str, task: str, metric: str, value: float) -> dict:
    per_seed = {"real": {0: {metric: value}}, "both": {0: {metric: value}, 1: {metric: value + 0.1}}}
    return {
        "benchmark": benchmark,
        "task": task,
        "world": "miniworld",
        "headline": [metric],
        "num_real": 40,
        "num_synthetic": 300,
        "arms": summarize(per_seed),
        "baseline": {metric: 0.05},
        "dev": {"p_decoder": {metric: value / 2}},
    }


COMPARISONS = {
    "nyu": comparison("nyu", "depth", "abs_rel", 0.25),
    "coco": comparison("coco", "instance", "mask_ap", 0.125),
}


def test_rows_follow_the_settings_and_the_missing_are_told() -> None:
    content = leaderboard(COMPARISONS, ["coco", "voc", "nyu"])
    assert [row["benchmark"] for row in content["rows"]] == ["coco", "nyu"]
    assert content["missing"] == ["voc"]
    assert [row["higher_is_better"] for row in content["rows"]] == [True, False]
    assert json.loads(json.dumps(content)) == content


def test_ours_and_the_papers_stand_side_by_side() -> None:
    lines = leaderboard_table(leaderboard(COMPARISONS, ["coco", "nyu"])).splitlines()
    assert lines[2].startswith(
        "| coco | 40 | 300 | AP (%) (higher is better) | 12.5 | - | 17.5 ± 7.1 | - | +0.0 (one seed"
    )
    assert "| 11.3 / " in lines[2]
    assert (
        "| 0.250 | - | 0.300 ± 0.071 | - | +0.000 (one seed, no interval) | 0.050 | 0.125 / - | 0.310 / 0.220 / 0.210 "
        in lines[3]
    )


def test_the_page_tells_its_world_and_asks_nothing_of_the_network() -> None:
    page = render_leaderboard(leaderboard(COMPARISONS, ["coco", "voc"]))
    assert "embedded world" in page and "Do not compare" in page and "Not run yet: voc" in page
    assert '<a href="coco/index.html">' in page and "instead of 40 labelled images (<code>real</code>)" in page
    assert "http" not in page


def test_made_of_what_is_published(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = Params.model_construct(benchmarks={"coco": None, "nyu": None})
    with pytest.raises(DatasetDMError, match="python -m datasetdm run coco"):
        make_leaderboard(params)
    file = Paths(tmp_path / "data", "coco").reports / "metrics.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(COMPARISONS["coco"]))
    result = make_leaderboard(params)
    assert math.isclose(result.metrics["benchmarks"], 1)
    assert "Not run yet: nyu" in (tmp_path / "data/reports/leaderboard.md").read_text()
    assert json.loads((tmp_path / "data/reports/leaderboard.json").read_text())["missing"] == ["nyu"]

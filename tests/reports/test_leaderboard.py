"""The table over all benchmarks."""

import json
import math
from pathlib import Path

import pytest

from datasetdm.config import Params
from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.leaderboard import add_runs, make_leaderboard
from datasetdm.pipeline.paths import Paths
from datasetdm.reports.comparison import summarize
from datasetdm.reports.leaderboard import leaderboard, leaderboard_table, render_leaderboard

REPORTS = Path("data/reports")


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
    with pytest.raises(DatasetDMError, match="datasetdm run coco"):
        make_leaderboard(params, REPORTS)
    file = Paths(tmp_path / "data", "coco").reports / "metrics.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(COMPARISONS["coco"]))
    result = make_leaderboard(params, REPORTS)
    assert math.isclose(result.metrics["benchmarks"], 1)
    assert "Not run yet: nyu" in (tmp_path / "data/reports/leaderboard.md").read_text()
    assert json.loads((tmp_path / "data/reports/leaderboard.json").read_text())["missing"] == ["nyu"]


def test_runs_made_elsewhere_stand_next_to_ours(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = Params.model_construct(benchmarks={"coco": None, "nyu": None})
    for name, value in (("theirs", 0.25), ("toys", 0.5)):
        other = comparison("toys" if name == "toys" else "coco", "instance", "mask_ap", value)
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps(other))
    add_runs(["theirs/metrics.json"], REPORTS)
    assert make_leaderboard(params, REPORTS).metrics == {"benchmarks": 1}  # without a comparison made here
    file = Paths(tmp_path / "data", "coco").reports / "metrics.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(COMPARISONS["coco"]))
    add_runs(["sd-1.4=toys/metrics.json"], REPORTS)
    table = make_leaderboard(params, REPORTS).tables["Leaderboard"]
    assert [line.split(" | ")[0] for line in table.splitlines()[2:5]] == [
        "| coco",
        "| coco (theirs)",
        "| toys (sd-1.4)",
    ]
    page = (tmp_path / "data/reports/leaderboard.html").read_text()
    assert '<th scope="row">coco (theirs)</th>' in page and page.count('href="coco/index.html"') == 2
    (tmp_path / "data/reports/added/theirs.json").unlink()
    assert "theirs" not in make_leaderboard(params, REPORTS).tables["Leaderboard"]


def test_what_is_no_comparison_is_refused_with_all_reasons(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "good.json").write_text(json.dumps(COMPARISONS["coco"]))
    unknown = {**COMPARISONS["coco"], "headline": ["beauty"]}
    (tmp_path / "unknown.json").write_text(json.dumps(unknown))
    files = ["gone.json", "list.json", "broken.json", "unknown.json", "../up=good.json", "a=good.json", "a=good.json"]
    with pytest.raises(DatasetDMError) as error:
        add_runs(files, REPORTS)
    told = str(error.value)
    for part in ("gone.json is not there", "list.json is no comparison", "broken.json", "beauty", "'../up' is no name"):
        assert part in told
    assert "two runs are called 'a'" in told
    assert not (tmp_path / "data").exists()

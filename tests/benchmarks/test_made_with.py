"""Files of figures say what they were made with, and tables say what the files say."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import made_with, prompt_coverage, rounds, study
from benchmarks.made_with import describe_run, write_result
from datasetdm.errors import DatasetDMError
from datasetdm.reports.joining import join
from datasetdm.reports.text import comparison_text
from datasetdm.task_parts import METRICS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks/results"

#: Measured before files of figures said what they were made with; a file leaves this list when it is measured again.
EARLIER = {
    "coco/metrics.json",
    "demo/metrics.json",
    "prompts/language_model.json",
    "labels/near_copies.json",
    "labels/promise_coco.json",
}

STUDIES = {"coco": ["real", "both", "oracle", "p_decoder"], "demo": ["real", "both"]}  # in README's tables


def made(file: Path) -> list[dict]:
    """What a file of figures says about its runs; a joined comparison has them in its parts."""
    if file.name == "metrics.json" and (file.parent / "runs").is_dir():
        return [run for part in (file.parent / "runs").glob("*.json") for run in made(part)]
    content = json.loads(file.read_text())
    if file.parent.name == "performance":
        return [figure["made_with"] for figure in content.values()]
    found = content["made_with"]
    return found if isinstance(found, list) else [found]


def test_figures_say_what_they_were_made_with() -> None:
    for file in RESULTS.rglob("*.json"):
        earlier = file.relative_to(RESULTS).as_posix() in EARLIER
        if earlier and "made_with" not in file.read_text():
            continue
        assert made(file), file
        for run in made(file):
            assert {"command", "began", "seconds", "commit", "diffusion_model", "machine"} <= set(run), file
            assert run["command"].startswith("python -m ") and run["seconds"] > 0, file


@pytest.mark.parametrize("name", sorted(file.parent.name for file in RESULTS.glob("*/metrics.json")))
def test_tables_are_those_of_the_figures(name: str) -> None:
    folder = RESULTS / name
    metrics = json.loads((folder / "metrics.json").read_text())
    runs = study.read_runs(folder)
    if runs:
        assert metrics == json.loads(json.dumps(join({file: run["comparison"] for file, run in runs.items()})))
    assert (folder / "table.md").read_text() == comparison_text(metrics)


def test_tables_of_prompts_and_rounds_are_those_of_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # rounds take the task from the settings
    for file in (RESULTS / "rounds").glob("*.json"):
        content = json.loads(file.read_text())
        assert file.with_suffix(".md").read_text() == rounds.text_of(content["settings"], content["measured"])
    coverage = RESULTS / "prompts/coverage.json"
    rows = json.loads(coverage.read_text())["measured"]
    assert coverage.with_suffix(".md").read_text() == f"{prompt_coverage.text_of(rows)}\n"


def test_the_leaderboard_is_that_of_the_figures() -> None:
    assert (RESULTS / "leaderboard.md").read_text() == study.leaderboard_of(RESULTS)


@pytest.mark.parametrize(
    ("name", "arms"), [("coco", ("real", "both", "oracle", "p_decoder")), ("demo", ("real", "both"))]
)
def test_readme_has_the_figures_of_the_files(name: str, arms: tuple[str, ...]) -> None:
    metrics = json.loads((RESULTS / name / "metrics.json").read_text())
    text = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    for arm in arms:
        for metric in ("mask_ap", "mask_ap50"):
            figure = metrics["arms"][arm][metric]
            shown = f"{METRICS[metric].text(figure['mean'])} ± {METRICS[metric].text(figure['std'])}"
            assert shown in text, f"{arm} {metric}"
    difference = metrics["contrasts"]["mask_ap"]["differences"]["both - real"]
    assert METRICS["mask_ap"].signed(difference["interval"][0]) in text


def test_readme_has_the_figures_of_the_study_without_intervals() -> None:
    arms = json.loads((RESULTS / "voc_zero_shot/metrics.json").read_text())["arms"]
    real, both, oracle = (METRICS["miou"].text(arms[arm]["miou"]["mean"]) for arm in ("real", "both", "oracle"))
    text = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    assert f"`real` has a mean IoU of {real}, `both` {both} and `oracle` {oracle}" in text


def test_the_table_of_speeds_has_the_ratios_of_the_file() -> None:
    speeds = json.loads((RESULTS / "performance/cpu.json").read_text())
    rows = [row for row in (RESULTS / "README.md").read_text().splitlines() if row.startswith("|")]
    for figure in (*speeds.values(), speeds["downstream_training"]["voc"]):
        assert any(row.endswith(f"| {figure['ratio']:.1f} |") for row in rows), figure["of"]


def test_a_run_is_in_the_file_once_and_earlier_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made_with, "weights_in_use", lambda: "0123")
    file = tmp_path / "figures.json"
    write_result(file, {"a": 1}, adds=True)
    write_result(file, {"a": 2}, adds=True)
    content = json.loads(file.read_text())
    assert content["a"] == 2 and len(content["made_with"]) == 1
    monkeypatch.setattr(made_with, "describe_run", lambda: describe_run() | {"began": "2027-01-01T00:00:00+00:00"})
    write_result(file, {"a": 3}, adds=True)
    assert [run["diffusion_model"] for run in json.loads(file.read_text())["made_with"]] == ["0123", "0123"]
    write_result(file, {"a": 4})
    assert len(json.loads(file.read_text())["made_with"]) == 1


def test_a_setting_that_is_new_and_off_is_no_other_setting() -> None:
    def run(**settings: object) -> dict:
        return {"made_with": {"diffusion_model": "0123", "settings": {"decoder": {"reading": None}, **settings}}}

    study._check_settings({"a": run(), "b": run(adapt=None)})
    with pytest.raises(DatasetDMError, match="b was made with another settings than a"):
        study._check_settings({"a": run(), "b": run(adapt={"steps": 5})})

"""What the command line answers where something outside of it fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from datasetdm.cli import main, stages


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch):
    """Puts a function in the place of every stage."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    yield lambda function: monkeypatch.setattr(stages, "run_stages", function)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_place_that_cannot_be_written_is_named(stage, tmp_path: Path, capsys) -> None:
    (tmp_path / "real").write_text("a file where a folder is needed")
    stage(lambda *_: (tmp_path / "real" / "coco").mkdir())
    assert main(["ingest", "coco"]) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "real") in said and "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_how_to_go_on(stage, number: signal.Signals, capsys) -> None:
    def work(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    stage(work)
    assert main(["ingest", "coco"]) == 130
    assert "continues" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "shown"), [([], False), (["default"], True)])
def test_warnings_of_libraries_are_shown_to_those_who_ask(
    stage, options: list[str], shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["datasetdm", "ingest", "coco"])
    monkeypatch.setattr(sys, "warnoptions", options)
    stage(lambda *_: warnings.warn("of a library", stacklevel=1))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert main() == 0
    assert [str(one.message) for one in found] == ["of a library"] * shown


def test_a_bare_call_says_what_each_command_does(capsys) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    for name, what in stages.STAGES.items():
        assert name in said and what.split()[0] in said


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_project_can_be_named_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, capsys
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project, elsewhere):
        folder.mkdir()
    shutil.copy(Path(__file__).parents[2] / "params.yaml", project)
    monkeypatch.chdir(elsewhere)
    if how == "environment":
        monkeypatch.setenv("DATASETDM_HOME", str(project))
    named = ["--project", str(project)] if how == "option" else []
    assert main([*named, "show", "coco"]) == 2
    assert "data/reports/coco/table.md is missing" in capsys.readouterr().err
    assert main(["--project", str(elsewhere), "show", "coco"]) == 2
    assert f"--project is {elsewhere}, which is not a project's root folder" in capsys.readouterr().err
    assert not list(elsewhere.iterdir())


def test_results_are_tables_for_people_and_json_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    report = tmp_path / "data/reports/coco"
    report.mkdir(parents=True)
    markdown = "| arm | AP |\n|---|---:|\n| real_augmented | 9.5 |\n| both | 17.9 ± 1.6 |\n\n- both - real: +3.2\n"
    (report / "table.md").write_text(markdown)
    (report / "metrics.json").write_text('{"arms": {}}')
    monkeypatch.chdir(tmp_path)
    assert main(["show", "coco"]) == 0
    assert capsys.readouterr().out == markdown
    assert main(["show", "coco", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"arms": {}}
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["show", "coco"]) == 0
    heading, rule, first, second, *rest = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert heading.split() == ["arm", "AP"] and set(rule) <= {"─", " "}
    assert len(heading) == len(first) == len(second)  # figures end in the same column
    assert first.split() == ["real_augmented", "9.5"] and second.split() == ["both", "17.9", "±", "1.6"]
    assert rest == ["", "- both - real: +3.2"]


def test_a_dry_run_says_what_is_missing_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "coco", "--dry-run", "--until", "synthesize", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said) == ["ingest", "adapt", "train_decoder", "write_prompts", "synthesize"]
    assert said["ingest"] == "runs, which takes seconds"
    assert "datasetdm ingest coco" in said["train_decoder"]
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_completes_commands(shell: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", shell])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "train_downstream" in said and "--dry-run" in said


def test_the_version_is_told(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out.startswith("datasetdm 0.")


@pytest.mark.parametrize("command", [["ingest", "coco"], ["run", "coco"], ["show", "coco"], ["leaderboard"]])
def test_another_folder_is_refused_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], capsys
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").touch()
    inside = tmp_path / "docs"
    inside.mkdir()
    monkeypatch.chdir(inside)
    assert main(command) == 2
    assert f"root folder, which is {tmp_path}." in capsys.readouterr().err
    assert not list(inside.iterdir())


@pytest.mark.parametrize("command", [["--help"], ["--print-completion", "bash"], ["validate", "coco", "--nonsense"]])
def test_a_reader_that_ends_early_sees_no_traceback(command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    called = [sys.executable, "-m", "datasetdm", *command]
    done = subprocess.run(called, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    os.close(writing)
    expected = {2} if "--nonsense" in command else {0, 141}  # argparse ignores a pipe that breaks under its help
    assert done.returncode in expected
    assert "Traceback" not in done.stderr and "Broken" not in done.stderr

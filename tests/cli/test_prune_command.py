"""The command `prune`: lists, removes only with `--yes`, and says what it could not remove."""

import json
from pathlib import Path

import pytest

from datasetdm.cli import main
from datasetdm.pipeline.pruning import prune
from datasetdm.pipeline.pruning.findings import Findings, Item


@pytest.fixture
def removed(tmp_path, monkeypatch):
    """What the command has removed from a project with two units to remove; "stuck" cannot be."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").touch()
    done, asked = [], []

    def find(parts, **options):
        asked.append((list(parts), options))
        items = [Item(name="a", why="no settings name it", size=2_500_000), Item(name="b", why="old")]
        work = Findings(part="work", items=items, notes=["c stays."], remove=lambda: done.append("work") or [])
        stuck = Findings(part="dvc", remove=lambda: ["dvc: busy."] if "dvc" in parts else [])
        return [work, stuck]

    monkeypatch.setattr(prune, "find", find)
    return done, asked


def test_without_yes_nothing_is_removed(removed, capsys):
    done, asked = removed
    assert main(["prune"]) == 0
    said = capsys.readouterr().out
    assert "work: a (2.5 MB): no settings name it" in said and "work: c stays." in said
    assert "| work | 2 | 2.5 MB |" in said and "Nothing was removed. --yes removes" in said
    assert done == [] and asked == [(list(prune.PARTS), {"days": 30, "keep": [], "also": []})]


def test_with_yes_it_is_and_what_failed_is_an_error(removed, capsys):
    done, _ = removed
    assert main(["prune", "--yes"]) == 2
    said = capsys.readouterr()
    assert done == ["work"]
    assert "This was removed." in said.out and "Not everything was removed:\n  dvc: busy." in said.err
    assert main(["prune", "--yes", "--only", "work"]) == 0


def test_json_lists_everything(removed, capsys):
    assert main(["prune", "--json", "--only", "work", "--days", "0", "--keep", "other.yaml", "--also", "diagnose"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["size"] == 2_500_000 and [item["name"] for item in found[0]["items"]] == ["a", "b"]
    assert removed[1] == [(["work"], {"days": 0.0, "keep": [Path("other.yaml")], "also": ["diagnose"]})]


@pytest.mark.parametrize("days", ["-1", "soon", "inf"])
def test_wrong_days_are_refused(removed, days):
    with pytest.raises(SystemExit):
        main(["prune", "--days", days])

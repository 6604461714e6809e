"""DVC's cache: `dvc gc --dry` is asked first, and its answer is what goes."""

from pathlib import Path

import pytest
from dvc.repo import Repo

from datasetdm.pipeline.pruning.dvc_cache import find_versions


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """A file that DVC tracks in two versions, of which the project has the second."""
    monkeypatch.chdir(tmp_path)
    with Repo.init(no_scm=True) as repo:
        for content in ("a" * 100, "b" * 200):
            Path("set.txt").write_text(content)
            repo.add("set.txt")
    return tmp_path


def versions():
    return sorted(file.read_text()[0] for file in Path(".dvc/cache").rglob("*") if file.is_file())


def test_a_version_that_nothing_names_goes_once_it_is_asked_for(tracked):
    found = find_versions()
    (item,) = found.items
    assert item.size == 100 and Path(item.name).read_text() == "a" * 100
    assert versions() == ["a", "b"]
    assert found.remove() == []
    assert versions() == ["b"]


def test_a_cache_that_others_may_share_is_left_alone(tracked):
    Path(".dvc/config").write_text("[core]\n    no_scm = True\n[cache]\n    dir = /mnt/shared\n")
    found = find_versions()
    assert not found.items and "other projects may use" in found.notes[0]


def test_without_dvc_there_is_nothing_to_clean(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no .dvc folder" in find_versions().notes[0]

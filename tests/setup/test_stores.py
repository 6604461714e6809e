"""Backups of the run histories, and their way back."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import stores


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project with both stores, in a folder whose name SQLite could misread."""
    root = tmp_path / "what now? 100 %"
    root.mkdir()
    monkeypatch.setattr(stores, "ROOT", root)
    monkeypatch.setattr(stores, "BACKUPS", root / "backups")
    monkeypatch.setattr(stores, "python_says", lambda code: '{"mlflow": "3", "dagster": "1"}')
    for name in ("mlflow/mlflow.db", ".dagster_home/history/runs.db", ".dagster_home/history/runs/abc.db"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write(root / name, "old")
    return root


def write(file, text):
    with closing(sqlite3.connect(file)) as store, store:
        store.execute("CREATE TABLE IF NOT EXISTS runs (name TEXT)")
        store.execute("INSERT INTO runs VALUES (?)", [text])


def read(file):
    with closing(sqlite3.connect(file)) as store:
        return [name for (name,) in store.execute("SELECT name FROM runs")]


def test_what_was_there_comes_back_and_the_present_is_kept(project):
    folder = stores.back_up(stores.new_folder())
    assert json.loads((folder / "versions.json").read_text()) == {"mlflow": "3", "dagster": "1"}
    write(project / "mlflow/mlflow.db", "new")
    write(project / ".dagster_home/history/runs/def.db", "new")
    stores.restore(folder)
    assert read(project / "mlflow/mlflow.db") == ["old"]
    assert read(project / ".dagster_home/history/runs/abc.db") == ["old"]
    assert not (project / ".dagster_home/history/runs/def.db").exists()
    (other,) = [backup for backup in stores.BACKUPS.iterdir() if backup != folder]
    assert read(other / "mlflow/mlflow.db") == ["old", "new"]
    stores.restore(other)
    assert read(project / ".dagster_home/history/runs/def.db") == ["new"]


def test_a_backup_sees_what_is_in_the_journal_of_a_writer(project):
    with closing(sqlite3.connect(project / "mlflow/mlflow.db")) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        with writer:
            writer.execute("INSERT INTO runs VALUES ('committed')")
        writer.execute("INSERT INTO runs VALUES ('half done')")
        folder = stores.back_up(stores.new_folder())
    assert read(folder / "mlflow/mlflow.db") == ["old", "committed"]


def test_a_store_in_use_is_not_replaced(project):
    folder = stores.back_up(stores.new_folder())
    with closing(sqlite3.connect(project / "mlflow/mlflow.db")) as user:
        user.execute("SELECT * FROM runs").fetchall()
        with pytest.raises(SystemExit, match="Stop `make ui`"):
            stores.restore(folder)
    stores.restore(folder)


def test_another_version_is_named(project, monkeypatch, capsys):
    folder = stores.back_up(stores.new_folder())
    monkeypatch.setattr(stores, "python_says", lambda code: '{"mlflow": "4", "dagster": "1"}')
    stores.restore(folder)
    assert "written by dagster 1 and mlflow 3, and dagster 1 and mlflow 4 is installed" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nothing", "mlflow"])
def test_what_is_no_backup_is_refused(project, name):
    with pytest.raises(SystemExit, match="is no backup"):
        stores.restore(project / name)
    assert read(project / "mlflow/mlflow.db") == ["old"]


def test_set_up_keeps_its_last_backups_and_all_of_a_person(project):
    mine = stores.back_up(stores.new_folder())
    for _ in range(stores.MOST_BY_SETUP + 2):
        stores.back_up_before_upgrade()
    assert mine.exists()
    assert len(list(stores.BACKUPS.glob("*-setup"))) == stores.MOST_BY_SETUP


def test_a_new_project_has_nothing_to_back_up(project, monkeypatch):
    monkeypatch.setattr(stores, "ROOT", project / "empty")
    stores.back_up_before_upgrade()
    assert not stores.BACKUPS.exists()


def test_a_history_elsewhere_is_found(project):
    elsewhere = project / "elsewhere"
    (elsewhere / "history").mkdir(parents=True)
    write(elsewhere / "history/runs.db", "there")
    (project / ".env").write_text(f"DAGSTER_HOME='{elsewhere}'\n")
    folder = stores.back_up(Path(stores.new_folder()))
    assert read(folder / "dagster/history/runs.db") == ["there"]

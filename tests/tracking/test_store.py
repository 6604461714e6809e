"""Where runs go: the local store with its lock, a server, a project of any name."""

import os
import shutil
import socket
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from datasetdm import tracking
from datasetdm.errors import DatasetDMError


@pytest.fixture
def project(tmp_path, monkeypatch, empty_store):
    """A project folder with a store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").touch()
    Path("mlflow").mkdir()
    shutil.copy(empty_store, "mlflow")
    return tmp_path


def test_runs_on_the_local_store_take_turns(project):
    def track():
        with tracking.track_run(benchmark="coco", stage="ingest", params={}):
            pass

    other = threading.Thread(target=track)
    with FileLock("mlflow/.lock"):
        other.start()
        other.join(1.0)
        assert other.is_alive()
    other.join()


def test_unreachable_server_is_told(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with (
        pytest.raises(DatasetDMError, match=r"http://127\.0\.0\.1:1"),
        tracking.track_run(benchmark="coco", stage="ingest", params={}),
    ):
        pass


def test_a_server_that_is_down_is_told_before_any_work_and_within_seconds(project, monkeypatch):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        start = time.perf_counter()
        with pytest.raises(DatasetDMError, match=r"[^.]\. \(MLFLOW_TRACKING_URI chooses the store"):
            tracking.check_server()
        assert time.perf_counter() - start < 15
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


def test_without_a_server_there_is_nothing_to_ask(project, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.check_server()


def test_the_store_lies_in_a_project_of_any_name(tmp_path, monkeypatch):
    name = "what now? it's #1, 100 %"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "params.yaml").touch()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with tracking.track_run(benchmark="coco", stage="ingest", params={}) as run:
        run.log_metrics({"images": 1.0})
        run.log_artifact("params.yaml")
    assert (folder / "mlflow" / "mlflow.db").is_file()
    assert list((folder / "mlflow" / "artifacts").rglob("params.yaml"))
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_outside_of_a_project_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetDMError, match="not the project's root folder"):
        tracking.experiment_identity("coco")
    assert not list(tmp_path.iterdir())

"""The store that MLflow writes to, and its lock.

SQLite allows one writer, so a file lock protects a local store. Open the store only when a stage has its results.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException

from datasetdm.errors import DatasetDMError
from datasetdm.tracking.relocation import ARTIFACTS, follow_move
from datasetdm.utils.processes import is_dead
from datasetdm.utils.progress import say

NOTE = "mlflow.note.content"  # the tag that MLflow shows above an experiment
ABOUT = """The runs of the benchmark `{benchmark}`, one per training, and one per stage of the chain.

To compare the arms, tick the trainings below a `comparison` and press **Compare**. `test/...` are figures on the test
images, `train/dev_...` those that choices are made with. `figures.json` of a run has all others.
"""


def check_server() -> None:
    """If a tracking server is set, check within seconds that it answers, before hours of work begin.

    Raises:
        DatasetDMError: the server cannot be reached, or returns an error.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http"):
        return
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    before = {name: os.environ.get(name) for name in patience}
    os.environ.update(patience)
    try:
        with open_store():
            mlflow.MlflowClient().search_experiments(max_results=1)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def open_store() -> Iterator[None]:
    """Point MLflow to the store, lock a local store, and make MLflow's errors readable."""
    folder = Path("mlflow").resolve()
    chosen = os.environ.get("MLFLOW_TRACKING_URI")
    uri = chosen or _sqlite_uri(folder / "mlflow.db")
    mlflow.set_tracking_uri(uri)
    if not chosen:
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow sets it, but the user did not
    lock: AbstractContextManager[object] = nullcontext()
    if uri.startswith("sqlite:"):
        if not chosen and not folder.is_dir() and not Path("params.yaml").exists():
            raise DatasetDMError(
                f"{Path.cwd()} is not the project's root folder (it has no params.yaml): go there first."
            )
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / ".lock", is_singleton=True)
    try:
        with lock:
            if not chosen:
                _follow_move(folder)
            yield
    except MlflowException as error:
        raise DatasetDMError(
            f"MLflow at {uri} answered: {' '.join(str(error).split()).rstrip('.')}. "
            "(MLFLOW_TRACKING_URI chooses the store; `make setup` updates the local one.)"
        ) from error


@lru_cache(maxsize=16)
def _follow_move(folder: Path) -> None:
    """Once per process and store: its artifacts are where the project is now (see `relocation`)."""
    for old in follow_move(folder / "mlflow.db", folder.parent):
        say(f"MLflow's store came from {old}; its artifacts are now in {folder.parent / ARTIFACTS}")


def _sqlite_uri(file: Path) -> str:
    """The URI of a database; a relative path if it contains a `?`, at which SQLAlchemy would end the path."""
    return f"sqlite:///{os.path.relpath(file) if '?' in str(file) else file}"


def experiment_id(benchmark: str) -> str:
    """Id of the benchmark's experiment, which is created if it is missing."""
    found = mlflow.get_experiment_by_name(benchmark)
    if found is not None:
        if NOTE not in found.tags:
            _describe(found.experiment_id, benchmark)
        return str(found.experiment_id)
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    location = (ARTIFACTS / benchmark).resolve().as_uri() if local else None
    created = str(mlflow.create_experiment(benchmark, artifact_location=location))
    _describe(created, benchmark)
    return created


def _describe(experiment: str, benchmark: str) -> None:
    mlflow.MlflowClient().set_experiment_tag(experiment, NOTE, ABOUT.format(benchmark=benchmark))


def close_dead_runs(client: mlflow.MlflowClient, experiment: str) -> None:
    """Mark open runs of an experiment as killed if their process has ended.

    A run is dead if its tag names a process of this machine that has ended. A run without this tag is older than the
    tag; in the local store, whose lock we hold, no other process can have it open.
    """
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING' and tags.stage != ''"):
        process = run.data.tags.get("process")
        if is_dead(process) if process else local:
            client.set_terminated(run.info.run_id, status="KILLED")

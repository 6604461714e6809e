"""The store that MLflow writes to, and who may write at a time.

SQLite has one writer, so a local store is held under a file lock: open it when a stage has its results.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow.exceptions import MlflowException

from datasetdm.errors import DatasetDMError
from datasetdm.utils.processes import is_dead


def check_server() -> None:
    """Ask a tracking server, if one is chosen, for a sign of life: before hours of work, and within seconds.

    Raises:
        DatasetDMError: it cannot be reached, or refuses to answer.
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
    """Point MLflow to the store, keep other writers of a local one out, make MLflow's errors readable."""
    folder = Path("mlflow").resolve()
    chosen = os.environ.get("MLFLOW_TRACKING_URI")
    uri = chosen or _sqlite_uri(folder / "mlflow.db")
    mlflow.set_tracking_uri(uri)
    if not chosen:
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow sets it, but nobody chose this
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
            yield
    except MlflowException as error:
        raise DatasetDMError(
            f"MLflow at {uri} answered: {' '.join(str(error).split())} "
            "(MLFLOW_TRACKING_URI chooses the store; `make setup` brings the local one up to date.)"
        ) from error


def _sqlite_uri(file: Path) -> str:
    """The URI of a database; relative to the current folder where a `?` above would end the path for SQLAlchemy."""
    return f"sqlite:///{os.path.relpath(file) if '?' in str(file) else file}"


def experiment_id(benchmark: str) -> str:
    """Id of the benchmark's experiment, made where it is missing."""
    found = mlflow.get_experiment_by_name(benchmark)
    if found is not None:
        return str(found.experiment_id)
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    location = (Path("mlflow") / "artifacts" / benchmark).resolve().as_uri() if local else None
    return str(mlflow.create_experiment(benchmark, artifact_location=location))


def close_dead_runs(client: mlflow.MlflowClient, experiment: str) -> None:
    """Mark the open runs of an experiment whose process is gone as killed.

    A run counts as dead where it is tagged with a process of this machine that is gone. One without a tag is older than
    the tags; in the local store, whose lock we hold, nobody can have it open.
    """
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING' and tags.stage != ''"):
        process = run.data.tags.get("process")
        if is_dead(process) if process else local:
            client.set_terminated(run.info.run_id, status="KILLED")

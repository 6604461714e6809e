"""Old runs of MLflow: what newer runs have replaced is set aside, and what was set aside long ago is removed.

A run that is set aside is in MLflow's state "deleted": its pages hide it, and `mlflow runs restore` brings it back with
its model. No run goes whose model has an alias such as `champion`, or whose output a newer run has logged as its own:
the registry holds each output once.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.entities import Run, ViewType
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from datasetdm.tracking.store import close_dead_runs, open_store

DAY = 24 * 3600.0  # seconds
MD5 = "dvc_md5"
_UNFINISHED = frozenset({"FAILED", "KILLED"})
# Together with the experiment, they say what a run was about: a later one of the same replaces it.
_SUBJECT = ("stage", "arm", "seed", "mlflow.runName")


@dataclass(frozen=True, kw_only=True)
class OldRun:
    """A run that may go.

    Attributes:
        run_id: MLflow's.
        name: for people: experiment and name of the run.
        why: why nothing needs it.
        size: bytes of its files and models; None: they are not on this machine.
    """

    run_id: str
    name: str
    why: str
    size: int | None


def can_remove() -> bool:
    """Whether runs can be removed for good: not through a server, but where its database can be reached.

    That is the case with the local store, and where MLFLOW_BACKEND_STORE_URI names the database of the server.
    """
    return not os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http") or bool(_database())


def _database() -> str | None:
    return os.environ.get("MLFLOW_BACKEND_STORE_URI") or None


# --- set aside ---


def replaced_runs(days: float) -> list[OldRun]:
    """Runs that ended more than `days` ago, and that a newer one has replaced or that never finished.

    Raises:
        DatasetDMError: the store cannot be reached.
    """
    with open_store():
        client = mlflow.MlflowClient()
        return [
            _described(client, run, why)
            for experiment in client.search_experiments()
            for run, why in _replaced(client, experiment.experiment_id, days)
        ]


def set_aside(runs: Sequence[OldRun]) -> None:
    """Put runs into MLflow's state "deleted"."""
    with open_store():
        client = mlflow.MlflowClient()
        for run in runs:
            client.delete_run(run.run_id)


def _replaced(client: mlflow.MlflowClient, experiment: str, days: float) -> list[tuple[Run, str]]:
    close_dead_runs(client, experiment)
    newest: dict[tuple[str | None, ...], Run] = {}
    old: list[tuple[Run, str]] = []
    kept: list[tuple[Run, str]] = []
    for run in _runs(client, experiment):
        subject = tuple(run.data.tags.get(name) for name in _SUBJECT)
        if run.info.status in _UNFINISHED:
            why = f"it was {run.info.status.lower()}"
        elif run.info.status == "RUNNING" and _is_past(run.info.start_time, max(days, 1.0)):
            why = "it never ended: a run is open for seconds, and its process was killed on another machine"
        elif run.info.status == "FINISHED" and subject in newest:
            why = f"{newest[subject].info.run_id} is newer"
        else:
            why = ""
        if run.info.status == "FINISHED":
            newest.setdefault(subject, run)
        may_go = (
            why and _is_past(run.info.end_time or run.info.start_time, days) and not _is_chosen(client, run.info.run_id)
        )
        (old if may_go else kept).append((run, why))
    parents = {run.data.tags.get(MLFLOW_PARENT_RUN_ID) for run, _ in kept}
    outputs = {run.data.tags.get(MD5) for run, _ in kept} - {None}
    return [(run, why) for run, why in old if run.info.run_id not in parents and run.data.tags.get(MD5) not in outputs]


def _runs(client: mlflow.MlflowClient, experiment: str) -> Iterator[Run]:
    """The runs that this project has logged, the newest first."""
    token, more = None, True
    while more:
        newest_first = ["attributes.start_time DESC"]
        page = client.search_runs([experiment], "tags.stage != ''", order_by=newest_first, page_token=token)
        yield from page
        token = page.token
        more = bool(token)


def _is_past(moment: int, days: float) -> bool:
    """Whether a moment, in milliseconds, was more than some days ago."""
    return moment / 1000 < time.time() - days * DAY


def _is_chosen(client: mlflow.MlflowClient, run_id: str) -> bool:
    """Whether a model of the run has an alias."""
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    return any(client.get_model_version(one.name, one.version).aliases for one in versions)  # a search leaves them out


# --- for good ---


def removable_runs(days: float) -> list[OldRun]:
    """Runs that were set aside more than `days` ago.

    Raises:
        DatasetDMError: the store cannot be reached.
    """
    with open_store():
        client = mlflow.MlflowClient()
        runs = [client.get_run(run) for run in _tracking_store()._get_deleted_runs(older_than=int(days * DAY * 1000))]
        why = f"it was set aside more than {days:g} days ago"
        return [_described(client, run, why) for run in runs if _is_unneeded(client, run)]


def remove_for_good(runs: Sequence[OldRun]) -> None:
    """Remove runs that are set aside, with their files, models and versions in the registry, as `mlflow gc` does.

    `mlflow gc` itself leaves models and versions behind, and a version whose run is gone stops the next registration.
    """
    from mlflow.cli import _gc_tracking_resources  # `gc` also removes experiments, however young

    with open_store():
        client = mlflow.MlflowClient()
        for run in runs:
            for version in client.search_model_versions(f"run_id = '{run.run_id}'"):
                client.delete_model_version(version.name, version.version)
            models = [model.model_id for model in _models(client, client.get_run(run.run_id))]
            for model in models:
                client.delete_logged_model(model)
            _gc_tracking_resources(
                backend_store=_tracking_store(),
                run_ids=[run.run_id],
                experiment_ids=None,
                logged_model_ids=models,
                older_than=None,
                time_delta=0,
                skip_experiments=True,
                skip_logged_models=False,
            )


def _is_unneeded(client: mlflow.MlflowClient, run: Run) -> bool:
    if _is_chosen(client, run.info.run_id):
        return False
    output = run.data.tags.get(MD5)
    same = f"tags.{MD5} = '{output}'"
    return output is None or not client.search_runs([run.info.experiment_id], same, ViewType.ACTIVE_ONLY, 1)


def _tracking_store() -> Any:
    from mlflow.tracking import _get_store

    return _get_store(_database())


# --- how much it is ---


def _described(client: mlflow.MlflowClient, run: Run, why: str) -> OldRun:
    name = f"{client.get_experiment(run.info.experiment_id).name}/{run.info.run_name}"
    return OldRun(run_id=run.info.run_id, name=name, why=why, size=_size(client, run))


def _size(client: mlflow.MlflowClient, run: Run) -> int | None:
    """Bytes of the files of a run and of its models; None if they are not on this machine."""
    places = [urlsplit(address) for address in (run.info.artifact_uri, *map(_place, _models(client, run)))]
    if any(place.scheme not in ("", "file") for place in places):
        return None
    folders = [Path(unquote(place.path)) for place in places]
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


def _models(client: mlflow.MlflowClient, run: Run) -> list[Any]:
    wanted = f"source_run_id = '{run.info.run_id}'"
    return list(client.search_logged_models([run.info.experiment_id], filter_string=wanted))


def _place(model: Any) -> str:
    return str(model.artifact_location)

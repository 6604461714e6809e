"""All parts of a project that may lose something, looked at in an order in which nothing needed is lost."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import ValidationError

from datasetdm.config import Params, load_params
from datasetdm.pipeline.paths import settings_file
from datasetdm.pipeline.pruning.dagster_runs import History
from datasetdm.pipeline.pruning.dvc_cache import find_versions
from datasetdm.pipeline.pruning.findings import Findings
from datasetdm.pipeline.pruning.mlflow_runs import find_runs
from datasetdm.pipeline.pruning.work import find_work

PARTS = ("work", "dvc", "mlflow", "dagster")


def find(
    parts: Collection[str] = PARTS, *, days: float, keep: Sequence[Path] = (), also: Sequence[str] = ()
) -> list[Findings]:
    """What the project in the current folder may lose; nothing is changed.

    Args:
        parts: of `PARTS`.
        days: how long runs of MLflow and Dagster stay after they have ended.
        keep: further settings files whose work stays.
        also: see `find_work`.

    Raises:
        DatasetDMError: settings are wrong, something is being made now, or a store cannot be reached.
    """
    found = []
    history = History(days) if {"work", "dagster"} & set(parts) else None
    if "work" in parts and history:
        running = list(map(_settings_of, history.unfinished))
        files = [Path("params.yaml"), *keep]
        settings = [load_params(file) for file in files] + [params for params in running if params]
        found.append(find_work(settings, [load_params(file, study=True) for file in files], also))
    if "dvc" in parts:
        found.append(find_versions())
    if "mlflow" in parts:
        found.append(find_runs(days))
    if "dagster" in parts and history:
        found.append(history.find_runs())
    return found


def _settings_of(run_id: str) -> Params | None:
    """The settings that a run of Dagster has begun with; None if it has not read any yet."""
    try:
        return Params.model_validate(json.loads(settings_file(run_id).read_text()))
    except (OSError, ValueError, ValidationError):
        return None

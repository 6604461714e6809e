"""The MLflow run around a stage.

A process may be killed at any moment. Every run is tagged with its process; the next look at the experiment marks the
runs of dead processes as killed, and what a run with the same output has logged is not logged twice.
"""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Param

from datasetdm.errors import DatasetDMError
from datasetdm.tracking.registry import register
from datasetdm.tracking.store import close_dead_runs, experiment_id, open_store
from datasetdm.utils.processes import this_process

# Tags of a run that do not say what was logged: the same output logged by another attempt has others.
_OF_ONE_ATTEMPT = frozenset({"process", "git_commit", "dagster_run_id"})


@dataclass(frozen=True)
class TrackedRun:
    """An MLflow run; see `track_run`.

    Attributes:
        run_id: MLflow's.
        logged: whether it had been finished before, with the same output; then nothing is logged again.
    """

    run_id: str
    logged: bool = False

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Numbers by name, e.g. `dev/mask_ap`; with `step`, a point of a curve.

        What MLflow does not take in a name, as in a category `screw (M4)`, becomes `_`.
        """
        if self.logged:
            return
        mlflow.log_metrics({_metric_name(name): value for name, value in metrics.items()}, step=step)

    def log_artifact(self, path: Path | str, folder: str | None = None) -> None:
        """A file (a picture, a table), kept below `folder`."""
        if not self.logged:
            mlflow.log_artifact(str(path), folder)

    def log_dataset(self, name: str, path: Path, digest: str, context: str = "training") -> None:
        """A version of a data set as an input of the run.

        Args:
            name: what it is called, e.g. `synthetic_coco`.
            path: where it lies.
            digest: its version, at most 36 characters: DVC's md5 (see `dvc_md5`).
            context: what it is used for.
        """
        if self.logged:
            return
        source = json.dumps({"uri": path.resolve().as_uri()})
        dataset = Dataset(name=name, digest=digest, source_type="local", source=source)
        used = DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])
        mlflow.MlflowClient().log_inputs(self.run_id, datasets=[used])

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Tags known only after the run was opened."""
        if not self.logged:
            mlflow.set_tags({name: str(value) for name, value in tags.items()})

    def register_model(
        self,
        name: str,
        folder: Path,
        loader: str,
        *,
        options: Mapping[str, Any] | None = None,
        takes_boxes: bool = False,
    ) -> str:
        """Log `folder` as a model of this run and register it as the next version of `name`.

        What is registered already, by a run with the same tag `dvc_md5`, is not registered again: the registry holds
        models, not repetitions.

        Args:
            name: name in the registry, e.g. `coco_decoder`.
            folder: safetensors, JSON and the like.
            loader: `module:function` or `module:Class.method` below `datasetdm.`, called with the folder's
                path, the argument `device` and the options; returns a `Predictor`.
            options: further arguments of the loader, plain values by name. Whoever loads the model through MLflow may
                set others by its `model_config` or in MLFLOW_PYFUNC_INFERENCE_CONFIG.
            takes_boxes: whether the model looks at persons within given boxes.

        Returns:
            The version, old or new.

        Raises:
            DatasetDMError: a file that might hold a pickle, or a loader that is none of the project's.
        """
        return register(self.run_id, name, folder, loader, options=options, takes_boxes=takes_boxes)


@contextmanager
def track_run(
    *,
    benchmark: str,
    stage: str,
    params: Mapping[str, Any],
    tags: Mapping[str, object] | None = None,
    started: float | None = None,
) -> Iterator[TrackedRun]:
    """An MLflow run in the benchmark's experiment; it counts as failed where the block raises.

    Where a finished run has the same stage, settings and tags, an output (`dvc_md5`) among these, that run is given
    and not changed: its process was killed before the caller could note that it had logged its output.

    Args:
        benchmark: name of the experiment.
        stage: what ran, e.g. `train_decoder`.
        params: the settings that the run depends on, possibly nested; logged flat (`decoder.hidden_dim`).
        tags: further tags, such as arm, seed, dvc_md5, dagster_run_id; None values are left out. Added are
            the benchmark, the stage, the git commit, the digest of the settings, the process and, where the
            environment has it, `DAGSTER_RUN_ID`.
        started: when the work began, Unix time in seconds; None: now.

    Raises:
        DatasetDMError: the store cannot be reached or is of another MLflow version.
    """
    with open_store():
        all_tags = _tags(benchmark, stage, params, tags or {})
        client = mlflow.MlflowClient()
        experiment = experiment_id(benchmark)
        close_dead_runs(client, experiment)
        known = _logged_run(client, experiment, all_tags)
        if known is not None:
            yield TrackedRun(known, logged=True)
            return
        run = client.create_run(
            experiment,
            start_time=None if started is None else int(started * 1000),
            tags=all_tags,
            run_name="-".join([stage, *(all_tags[key] for key in ("arm", "seed") if key in all_tags)]),
        )
        with mlflow.start_run(run_id=run.info.run_id):
            flat = [Param(name, value) for name, value in _flat(params).items()]
            for start in range(0, len(flat), 100):  # the store takes no more at once
                client.log_batch(run.info.run_id, params=flat[start : start + 100])
            yield TrackedRun(run.info.run_id)


def experiment_identity(benchmark: str) -> str | None:
    """What the benchmark's experiment is known by: another one of the same name is another; None where there is none.

    A look at the experiment, so runs that dead processes left open are closed.

    Raises:
        DatasetDMError: the store cannot be reached or is of another MLflow version.
    """
    with open_store():
        found = mlflow.get_experiment_by_name(benchmark)
        if found is None:
            return None
        close_dead_runs(mlflow.MlflowClient(), found.experiment_id)
        return f"{found.experiment_id} {found.creation_time}"


def params_digest(params: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that differ where the settings differ; order does not matter."""
    return hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()[:12]


def dvc_md5(path: Path) -> str:
    """The md5 under which DVC knows a file or folder (`dvc.lock` has it), whether DVC tracks it or not."""
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs import localfs

    if not path.exists():
        raise DatasetDMError(f"{path} is missing, so its version cannot be told.")
    scratch = HashFileDB(localfs, os.devnull, tmp_dir=os.devnull)  # nothing is stored in a dry run
    _, _, built = build(scratch, str(path.resolve()), localfs, "md5", dry_run=True)
    return str(built.hash_info.value)


def _metric_name(name: str) -> str:
    """The name as MLflow takes it: letters, digits and `_-. :`, with slashes between parts that are not all dots."""
    parts = re.sub(r"[^/\w.\- :]", "_", name).split("/")
    return "/".join(part if part.strip(".") else "_" for part in parts)


def _tags(benchmark: str, stage: str, params: Mapping[str, Any], further: Mapping[str, object]) -> dict[str, str]:
    tags: dict[str, object] = {
        "benchmark": benchmark,
        "stage": stage,
        "params_digest": params_digest(params),
        "process": this_process(),
        "git_commit": _git_commit(),
        "dagster_run_id": os.environ.get("DAGSTER_RUN_ID"),
        **further,
    }
    return {name: str(value) for name, value in tags.items() if value is not None}


def _logged_run(client: mlflow.MlflowClient, experiment: str, tags: Mapping[str, str]) -> str | None:
    """The finished run that has logged the same output of the same stage and settings."""
    if "dvc_md5" not in tags:
        return None
    same = {name: value for name, value in tags.items() if name not in _OF_ONE_ATTEMPT}
    outputs = f"attributes.status = 'FINISHED' and tags.dvc_md5 = '{tags['dvc_md5']}'"
    for run in client.search_runs([experiment], outputs):
        if same.items() <= run.data.tags.items():
            return str(run.info.run_id)
    return None


def _git_commit() -> str | None:
    """The commit that is checked out, `-dirty` where tracked files differ from it; None without one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return answer.stdout.strip() or None


def _flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat

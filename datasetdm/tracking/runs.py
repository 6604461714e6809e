"""The MLflow run around a stage.

A process may be killed at any moment. Every run has a tag that names its process. The next access to the experiment
marks runs of dead processes as killed. If a run has already logged the same output, it is not logged again.
"""

import hashlib
import json
import os
import re
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import Dataset, DatasetInput, InputTag, Param
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from datasetdm.errors import DatasetDMError
from datasetdm.tracking import links
from datasetdm.tracking.registry import label_versions, register
from datasetdm.tracking.store import close_dead_runs, experiment_id, open_store
from datasetdm.utils.processes import this_process

# Tags that describe the attempt, not the output; another attempt at the same output has other values.
_OF_ONE_ATTEMPT = frozenset({"process", "git_commit", "dagster_run_id"})


@dataclass(frozen=True)
class TrackedRun:
    """An MLflow run; see `track_run`.

    Attributes:
        run_id: MLflow's.
        experiment: the id of its experiment.
        logged: whether it was finished earlier with the same output; then nothing is logged again.
    """

    run_id: str
    experiment: str
    logged: bool = False

    @property
    def page(self) -> str:
        """The address of its page."""
        return links.run_page(self.experiment, self.run_id)

    def page_of(self, artifact: str) -> str:
        """The address of the page that shows one of its files, named as in `log_artifact`: `pictures/dev.png`."""
        return links.run_page(self.experiment, self.run_id, artifact)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers by name, e.g. `dev/mask_ap`; with `step`, a point of a curve.

        Characters that MLflow does not accept in a name, as in the category `screw (M4)`, become `_`.
        """
        if self.logged:
            return
        mlflow.log_metrics({_metric_name(name): value for name, value in metrics.items()}, step=step)

    def log_artifact(self, path: Path | str, folder: str | None = None) -> None:
        """Log a file (a picture, a table) below `folder`."""
        if not self.logged:
            mlflow.log_artifact(str(path), folder)

    def log_table(self, table: pd.DataFrame, file: str) -> None:
        """Log a table as the file `<name>.json`, which MLflow shows as a table."""
        if self.logged:
            return
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "For backward compatibility, 'str' dtypes")  # MLflow's use of pandas
            mlflow.MlflowClient().log_table(self.run_id, table, file)

    def comparison_of(self, run_ids: Sequence[str]) -> str:
        """The address of the page that compares other runs of the experiment."""
        return links.comparison_page(self.experiment, run_ids)

    def adopt(self, output_md5: str, stage: str, metrics: Mapping[str, float]) -> str | None:
        """Make the run of a stage that made an output (its `dvc_md5`) a child of this one, and log metrics to it.

        A run that several comparisons are about belongs to the latest one. Also done if this run is `logged`: a process
        may have been killed halfway.

        Returns:
            Its id; None if there is no such run.
        """
        client = mlflow.MlflowClient()
        wanted = f"attributes.status = 'FINISHED' and tags.dvc_md5 = '{output_md5}' and tags.stage = '{stage}'"
        found = client.search_runs([self.experiment], wanted, max_results=1)  # the newest
        if not found:
            return None
        run, run_id = found[0].data, str(found[0].info.run_id)
        client.set_tag(run_id, MLFLOW_PARENT_RUN_ID, self.run_id)
        for name, value in metrics.items():
            if run.metrics.get(_metric_name(name)) != value:
                client.log_metric(run_id, _metric_name(name), value)
        label_versions(run_id, metrics)
        return run_id

    def log_dataset(self, name: str, path: Path, digest: str, context: str = "training") -> None:
        """Log a version of a data set as an input of the run.

        Args:
            name: e.g. `synthetic_coco`.
            path: its folder.
            digest: its version, at most 36 characters: DVC's md5 (see `dvc_md5`).
            context: its purpose.
        """
        if self.logged:
            return
        source = json.dumps({"uri": path.resolve().as_uri()})
        dataset = Dataset(name=name, digest=digest, source_type="local", source=source)
        used = DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])
        mlflow.MlflowClient().log_inputs(self.run_id, datasets=[used])

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags that are known only after the run was opened."""
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
        extra: str | None = None,
        description: str = "",
        labels: Mapping[str, object] | None = None,
    ) -> str:
        """Log `folder` as a model of this run and register it as the next version of `name`.

        If a run with the same tag `dvc_md5` has registered it already, it is not registered again.

        Args:
            name: name in the registry, e.g. `coco_decoder`.
            folder: safetensors, JSON and the like.
            loader: `module:function` or `module:Class.method` below `datasetdm.`, called with the folder's
                path, the argument `device` and the options; returns a `Predictor`.
            options: further arguments of the loader, plain values by name. Users of MLflow can override them with
                `model_config` or MLFLOW_PYFUNC_INFERENCE_CONFIG.
            takes_boxes: whether the model needs the persons' boxes.
            extra: what the loader needs besides what the package always needs (see `utils.extras`).
            description: what the version is, as Markdown.
            labels: tags of the version, such as its arm.

        Returns:
            The version, old or new.

        Raises:
            DatasetDMError: a file could contain a pickle, or the loader is not part of this project.
        """
        return register(
            self.run_id,
            name,
            folder,
            loader,
            options=options,
            takes_boxes=takes_boxes,
            extra=extra,
            description=description,
            labels=labels or {},
        )


@contextmanager
def track_run(
    *,
    benchmark: str,
    stage: str,
    params: Mapping[str, Any],
    tags: Mapping[str, object] | None = None,
    name: str | None = None,
    times: tuple[float, float] | None = None,
) -> Iterator[TrackedRun]:
    """An MLflow run in the benchmark's experiment; it fails if the block raises.

    If a finished run has the same stage, settings and tags, including an output (`dvc_md5`), that run is returned and
    not changed: its process was killed before the caller could record that it had logged its output.

    Args:
        benchmark: name of the experiment.
        stage: e.g. `train_decoder`.
        params: the settings that the run depends on; nested ones are logged flat (`decoder.hidden_dim`).
        tags: further tags, such as arm, seed, dvc_md5, dagster_run_id; None values are left out. The run also gets tags
            for the benchmark, stage, git commit, digest of the settings, process and, if set, `DAGSTER_RUN_ID`.
        name: what MLflow's tables and plots call it; None: the stage.
        times: start and end of the work, Unix time in seconds; None: those of the block.

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
            yield TrackedRun(known, experiment, logged=True)
            return
        run = client.create_run(
            experiment,
            start_time=int(times[0] * 1000) if times else None,
            tags=all_tags,
            run_name=name or stage,
        )
        with mlflow.start_run(run_id=run.info.run_id):
            flat = [Param(name, value) for name, value in _flat(params).items()]
            for start in range(0, len(flat), 100):  # the store accepts at most 100 at once
                client.log_batch(run.info.run_id, params=flat[start : start + 100])
            yield TrackedRun(run.info.run_id, experiment)
        if times:
            client.set_terminated(run.info.run_id, end_time=int(times[1] * 1000))


def experiment_identity(benchmark: str) -> str | None:
    """Identifies the benchmark's experiment, even if a new one has the same name; None if there is none.

    This also closes runs that dead processes left open.

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
    """Twelve hexadecimal digits that differ if the settings differ; order does not matter."""
    return hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()[:12]


def dvc_md5(path: Path) -> str:
    """The md5 that DVC would record for a file or folder in `dvc.lock`, whether DVC tracks it or not."""
    from dvc.ignore import DvcIgnoreFilter
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.db import HashFileDB
    from dvc_objects.fs import localfs

    if not path.exists():
        raise DatasetDMError(f"{path} is missing, so its version is unknown.")
    ignored = DvcIgnoreFilter(localfs, os.getcwd())  # by the project's .dvcignore
    scratch = HashFileDB(localfs, os.devnull, tmp_dir=os.devnull)  # a dry run stores nothing
    _, _, built = build(scratch, str(path.resolve()), localfs, "md5", dry_run=True, ignore=ignored)
    return str(built.hash_info.value)


def _metric_name(name: str) -> str:
    """The name as MLflow accepts it: letters, digits and `_-. :`, with slashes between parts that are not all dots."""
    parts = re.sub(r"[^/\w.\- :]", "_", name).split("/")
    return "/".join(part if part.strip(".") else "_" for part in parts)


def _tags(benchmark: str, stage: str, params: Mapping[str, Any], further: Mapping[str, object]) -> dict[str, str]:
    tags: dict[str, object] = {
        "benchmark": benchmark,
        "stage": stage,
        "params_digest": params_digest(params),
        "process": this_process(),
        "git_commit": git_commit(),
        "dagster_run_id": os.environ.get("DAGSTER_RUN_ID"),
        **further,
    }
    return {name: str(value) for name, value in tags.items() if value is not None}


def _logged_run(client: mlflow.MlflowClient, experiment: str, tags: Mapping[str, str]) -> str | None:
    """The finished run that logged the same output of the same stage and settings."""
    if "dvc_md5" not in tags:
        return None
    same = {name: value for name, value in tags.items() if name not in _OF_ONE_ATTEMPT}
    outputs = f"attributes.status = 'FINISHED' and tags.dvc_md5 = '{tags['dvc_md5']}'"
    for run in client.search_runs([experiment], outputs):
        if same.items() <= run.data.tags.items():
            return str(run.info.run_id)
    return None


def git_commit() -> str | None:
    """The current commit, with `-dirty` if tracked files differ from it; None without git."""
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

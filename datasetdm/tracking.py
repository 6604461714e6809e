"""The MLflow run around a stage, and the model registry; the only importer of mlflow.

One experiment per benchmark. The store is the one that `MLFLOW_TRACKING_URI` names, else
`mlflow/mlflow.db` with its artifacts in `mlflow/artifacts`, in the project's root (the current folder).
SQLite has one writer, so a run holds a file lock there: open it when a stage has its results, and tell it
when the work began.

A process may be killed at any moment. Every run is tagged with its process; the next look at the experiment marks the
runs of dead processes as killed, and what a run with the same output has logged is not logged twice.

A registered model is a folder of safetensors and JSON and the name of the function that loads it, which
MLflow finds through this module (its `loader_module`); nothing is pickled. MLflow's scoring server sends it files of
pictures and is answered in JSON (see `serving`); `load_model` gives the model itself, which takes arrays.
"""

import hashlib
import importlib
import json
import os
import re
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Param
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType

from datasetdm import serving
from datasetdm.errors import DatasetDMError
from datasetdm.processes import is_dead, this_process

CHAMPION = "champion"
CHALLENGER = "challenger"

# Tags of a run that do not say what was logged: the same output logged by another attempt has others.
_OF_ONE_ATTEMPT = frozenset({"process", "git_commit", "dagster_run_id"})

# Formats that hold numbers and text, never code.
MODEL_FILES = frozenset({".safetensors", ".json", ".yaml", ".txt", ".csv", ".md"})

# What the scoring server takes: the bytes of an image file (in JSON as base64); some models take boxes in it, too.
IMAGE = ColSpec(DataType.binary, "image")
# MLflow's arrays of numbers refuse [[1, 2, 3, 4]], as these are no doubles; `serving` checks the boxes itself.
BOXES = ColSpec(AnyType(), "boxes", required=False)
LOADER = re.compile(r"(datasetdm(?:\.\w+)+):(\w+(?:\.\w+)?)")
# A wheel carries the lock in the package, a checkout has it at its root.
_LOCKS = [folder / "requirements.lock" for folder in Path(__file__).resolve().parents[:2]]
REQUIREMENTS = next(filter(Path.is_file, _LOCKS), _LOCKS[-1])


# --- runs ---


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
                path, the argument `device` and the options; returns a `serving.Predictor`.
            options: further arguments of the loader, plain values by name. Whoever loads the model through MLflow may
                set others by its `model_config` or in MLFLOW_PYFUNC_INFERENCE_CONFIG.
            takes_boxes: whether the model looks at persons within given boxes.

        Returns:
            The version, old or new.

        Raises:
            DatasetDMError: a file that might hold a pickle, or a loader that is none of the project's.
        """
        _find_loader(loader)
        _refuse_code(folder)
        known = _version_of(name, self.run_id)
        if known is not None:
            return known
        if self.logged and mlflow.active_run() is None:  # the model was removed from the registry since
            with mlflow.start_run(run_id=self.run_id):
                return self.register_model(name, folder, loader, options=options, takes_boxes=takes_boxes)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*input example was not provided")  # the signature is given
            logged = mlflow.pyfunc.log_model(
                name=name,
                loader_module=__name__,
                data_path=str(folder),
                model_config={"loader": loader, "device": "auto", **(options or {})},
                registered_model_name=name,
                signature=ModelSignature(inputs=Schema([IMAGE, BOXES] if takes_boxes else [IMAGE])),
                pip_requirements=str(REQUIREMENTS),
            )
        return str(logged.registered_model_version)


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
    with _store():
        all_tags = _tags(benchmark, stage, params, tags or {})
        client = mlflow.MlflowClient()
        experiment = _experiment(benchmark)
        _close_dead_runs(client, experiment)
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
    with _store():
        found = mlflow.get_experiment_by_name(benchmark)
        if found is None:
            return None
        _close_dead_runs(mlflow.MlflowClient(), found.experiment_id)
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


# --- the registry ---


def _version_of(name: str, run_id: str) -> str | None:
    """The version of a model that a run with the same `dvc_md5` registered."""
    client = mlflow.MlflowClient()
    md5 = client.get_run(run_id).data.tags.get("dvc_md5")
    for entry in client.search_model_versions(f"name='{name}'"):
        if md5 is not None and client.get_run(entry.run_id).data.tags.get("dvc_md5") == md5:
            return str(entry.version)
    return None


def promote(
    name: str, metric: str, *, higher_is_better: bool = True, among: Mapping[str, str] | None = None
) -> str | None:
    """Move the alias `champion` to the version whose run has the best `metric`, the newest among equals.

    `challenger` becomes the newest other version, and goes if there is none.

    Args:
        name: name in the registry.
        metric: a metric of the runs that made the versions, measured on dev, e.g. `dev/mask_ap`.
        higher_is_better: False for errors.
        among: tags that a version's run must have for the version to count, such as the dev set that it was judged by:
            figures of different sets cannot be ranked.

    Returns:
        The champion's version; None where no version has the metric (dev may have had nothing to measure).
    """
    with _store():
        client = mlflow.MlflowClient()
        entries = client.search_model_versions(f"name='{name}'")
        runs = {int(entry.version): client.get_run(entry.run_id).data for entry in entries}
        runs = {version: run for version, run in runs.items() if (among or {}).items() <= run.tags.items()}
        scores = {version: run.metrics.get(metric) for version, run in runs.items()}
        sign = 1 if higher_is_better else -1
        ranked = sorted((sign * score, version) for version, score in scores.items() if score is not None)
        if not ranked:
            return None
        champion = ranked[-1][1]
        client.set_registered_model_alias(name, CHAMPION, str(champion))
        challengers = [version for version in runs if version != champion]
        if challengers:
            client.set_registered_model_alias(name, CHALLENGER, str(max(challengers)))
        elif CHALLENGER in client.get_registered_model(name).aliases:  # of other runs, or the champion of today
            client.delete_registered_model_alias(name, CHALLENGER)
        return str(champion)


def load_model(name: str, alias: str = CHAMPION, *, device: str = "auto") -> serving.Predictor:
    """A model of the registry, to be called with arrays.

    Args:
        name: name in the registry.
        alias: which of its versions.
        device: auto, cpu, cuda, cuda:1, ...

    Raises:
        DatasetDMError: the registry has no such model or alias, or it was not this project that registered it.
    """
    with _store():
        uri = f"models:/{name}@{alias}"
        flavor = mlflow.models.get_model_info(uri).flavors.get("python_function", {})
        if flavor.get("loader_module") != __name__:  # any other is code or a pickle of whoever registered it
            raise DatasetDMError(f"The model {name}@{alias} was not registered by this project and is not loaded.")
        served = mlflow.pyfunc.load_model(uri, model_config={"device": device})
        model: serving.Predictor = served.unwrap_python_model()
        return model


@dataclass(frozen=True)
class _Served:
    """A registered model as MLflow serves it.

    Attributes:
        python_model: the model itself; the name is what MLflow looks for.
    """

    python_model: serving.Predictor

    def predict(self, table: pd.DataFrame) -> list[dict[str, Any]]:
        """One answer per row; see `serving.answer`."""
        try:
            return serving.answer(self.python_model, table.to_dict("records"))
        except DatasetDMError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


def _load_pyfunc(path: str, model_config: Mapping[str, Any]) -> _Served:
    """Called by MLflow with the folder of a registered model."""
    options = {name: value for name, value in model_config.items() if name != "loader" and value is not None}
    return _Served(_find_loader(model_config["loader"])(Path(path), **options))


def _find_loader(loader: str) -> Callable[[Path], Any]:
    """The function that `module:attribute` names; only the project's own are run."""
    match = LOADER.fullmatch(loader)
    try:
        if match is None:
            raise ImportError("not of the form datasetdm.module:function")
        found: Any = importlib.import_module(match[1])
        for attribute in match[2].split("."):
            found = getattr(found, attribute)
        if not callable(found) or not found.__module__.startswith("datasetdm."):
            raise ImportError("not a function of this project")
    except (ImportError, AttributeError) as error:
        raise DatasetDMError(f"The model loader '{loader}' cannot be used: {error}.") from None
    function: Callable[[Path], Any] = found
    return function


def _refuse_code(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        if path.suffix not in MODEL_FILES:
            raise DatasetDMError(
                f"{path} is no file for the model registry, which takes {', '.join(sorted(MODEL_FILES))}: "
                "save weights as safetensors and settings as JSON."
            )
    if not files:
        raise DatasetDMError(f"{folder} holds no files, so there is no model to register.")


# --- the store ---


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
        with _store():
            mlflow.MlflowClient().search_experiments(max_results=1)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _store() -> Iterator[None]:
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


def _experiment(benchmark: str) -> str:
    """Id of the benchmark's experiment, made where it is missing."""
    found = mlflow.get_experiment_by_name(benchmark)
    if found is not None:
        return str(found.experiment_id)
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    location = (Path("mlflow") / "artifacts" / benchmark).resolve().as_uri() if local else None
    return str(mlflow.create_experiment(benchmark, artifact_location=location))


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


def _close_dead_runs(client: mlflow.MlflowClient, experiment: str) -> None:
    """Mark the open runs of an experiment whose process is gone as killed.

    A run counts as dead where it is tagged with a process of this machine that is gone. One without a tag is older than
    the tags; in the local store, whose lock we hold, nobody can have it open.
    """
    local = not os.environ.get("MLFLOW_TRACKING_URI")
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING' and tags.stage != ''"):
        process = run.data.tags.get("process")
        if is_dead(process) if process else local:
            client.set_terminated(run.info.run_id, status="KILLED")


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

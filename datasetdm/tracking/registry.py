"""The model registry: what goes in, and how it comes out.

A registered model is a folder of safetensors and JSON, and the name of the function that loads it, which MLflow finds
through `datasetdm.tracking` (its `loader_module`). It contains no pickle. MLflow's scoring server sends the model image
files and gets JSON back (see `serving`); `load_model` returns the model itself, which takes arrays.
"""

import importlib
import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import AnyType

from datasetdm.annotations.predictor import Predictor
from datasetdm.errors import DatasetDMError
from datasetdm.tracking import serving
from datasetdm.tracking.store import open_store

CHAMPION = "champion"

# Formats that contain numbers and text, never code.
MODEL_FILES = frozenset({".safetensors", ".json", ".yaml", ".txt", ".csv", ".md"})

# Input of the scoring server: the bytes of an image file (base64 in JSON); some models also take boxes.
IMAGE = ColSpec(DataType.binary, "image")
# MLflow's numeric arrays refuse [[1, 2, 3, 4]], which are not doubles, so `serving` checks the boxes.
BOXES = ColSpec(AnyType(), "boxes", required=False)
LOADER = re.compile(r"(datasetdm(?:\.\w+)+):(\w+(?:\.\w+)?)")
# Loaders of models that were registered under an earlier name.
MOVED = dict.fromkeys(
    ("datasetdm.stages.registry", "datasetdm.pipeline.registry"), "datasetdm.pipeline.registered_decoder"
)
LOADER_MODULE = "datasetdm.tracking"  # registered models name it, so it must not move
# A wheel has the locks inside the package, a checkout has them in its root folder.
_FOLDERS_OF_LOCKS = Path(__file__).resolve().parents[1:3]


def register(
    run_id: str,
    name: str,
    folder: Path,
    loader: str,
    *,
    options: Mapping[str, Any] | None = None,
    takes_boxes: bool = False,
    extra: str | None = None,
    description: str = "",
    labels: Mapping[str, object],
) -> str:
    """See `TrackedRun.register_model`."""
    find_loader(loader)
    _refuse_code(folder)
    known = _version_of(name, run_id)
    if known is not None:
        return known
    # If the run is already closed, its model was removed from the registry since.
    opened = mlflow.start_run(run_id=run_id) if mlflow.active_run() is None else nullcontext()
    with opened, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*input example was not provided")  # we pass the signature
        logged = mlflow.pyfunc.log_model(
            name=name,
            loader_module=LOADER_MODULE,
            data_path=str(folder),
            model_config={"loader": loader, "device": "auto", **(options or {})},
            registered_model_name=name,
            signature=ModelSignature(inputs=Schema([IMAGE, BOXES] if takes_boxes else [IMAGE])),
            pip_requirements=requirements(extra),
        )
    version = str(logged.registered_model_version)
    mlflow.MlflowClient().update_model_version(name, version, description)
    _label(name, version, labels)
    return version


def requirements(extra: str | None = None) -> list[str]:
    """What a model is logged with: the pinned packages of the project, and those of an extra (see `utils.extras`)."""
    names = ["requirements.lock", *([f"requirements-{extra}.lock"] if extra else [])]
    lines = [line for name in names for line in _lock(name).read_text().splitlines()]
    return [line for line in lines if "==" in line and not line.startswith("#")]


def _lock(name: str) -> Path:
    places = [folder / name for folder in _FOLDERS_OF_LOCKS]
    return next(filter(Path.is_file, places), places[-1])


def label_versions(run_id: str, figures: Mapping[str, float]) -> None:
    """Note figures on the versions that a run has registered, for people: no choice looks at them."""
    for entry in mlflow.MlflowClient().search_model_versions(f"run_id = '{run_id}'"):
        _label(entry.name, entry.version, {name: f"{value:.4g}" for name, value in figures.items()})


def _label(name: str, version: str, labels: Mapping[str, object]) -> None:
    client = mlflow.MlflowClient()
    for key, value in labels.items():
        client.set_model_version_tag(name, version, key, str(value))


def load_model(name: str, alias: str = CHAMPION, *, device: str = "auto") -> Predictor:
    """Load a model from the registry; it takes arrays.

    Args:
        name: name in the registry.
        alias: which of its versions.
        device: auto, cpu, cuda, cuda:1, ...

    Raises:
        DatasetDMError: the registry has no such model or alias, or another project registered it.
    """
    with open_store():
        uri = f"models:/{name}@{alias}"
        flavor = mlflow.models.get_model_info(uri).flavors.get("python_function", {})
        if flavor.get("loader_module") != LOADER_MODULE:  # any other could run foreign code or a pickle
            raise DatasetDMError(f"The model {name}@{alias} was not registered by this project, so it is not loaded.")
        served = mlflow.pyfunc.load_model(uri, model_config={"device": device})
        model: Predictor = served.unwrap_python_model()
        return model


@dataclass(frozen=True)
class Served:
    """A registered model as MLflow serves it.

    Attributes:
        python_model: the model itself; MLflow looks for this name.
    """

    python_model: Predictor

    def predict(self, table: pd.DataFrame) -> list[dict[str, Any]]:
        """One answer per row; see `serving.answer`."""
        try:
            return serving.answer(self.python_model, table.to_dict("records"))
        except DatasetDMError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


def serve(path: str, model_config: Mapping[str, Any]) -> Served:
    """Called by MLflow with the folder of a registered model."""
    options = {name: value for name, value in model_config.items() if name != "loader" and value is not None}
    return Served(find_loader(model_config["loader"])(Path(path), **options))


def find_loader(loader: str) -> Callable[[Path], Any]:
    """The function that `module:attribute` names; only functions of this project are allowed."""
    match = LOADER.fullmatch(loader)
    try:
        if match is None:
            raise ImportError("not of the form datasetdm.module:function")
        found: Any = importlib.import_module(MOVED.get(match[1], match[1]))
        for attribute in match[2].split("."):
            found = getattr(found, attribute)
        if not callable(found) or not found.__module__.startswith("datasetdm."):
            raise ImportError("not a function of this project")
    except (ImportError, AttributeError) as error:
        raise DatasetDMError(f"The model loader '{loader}' cannot be used: {error}.") from None
    function: Callable[[Path], Any] = found
    return function


def _version_of(name: str, run_id: str) -> str | None:
    """The version that a run with the same `dvc_md5` registered; None if there is none."""
    client = mlflow.MlflowClient()
    md5 = client.get_run(run_id).data.tags.get("dvc_md5")
    for entry in client.search_model_versions(f"name='{name}'"):
        if md5 is not None and client.get_run(entry.run_id).data.tags.get("dvc_md5") == md5:
            return str(entry.version)
    return None


def _refuse_code(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        if path.suffix not in MODEL_FILES:
            raise DatasetDMError(
                f"{path} is not a file type that the model registry accepts ({', '.join(sorted(MODEL_FILES))}). "
                "Save weights as safetensors and settings as JSON."
            )
    if not files:
        raise DatasetDMError(f"{folder} contains no files, so there is no model to register.")

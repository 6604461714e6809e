"""DatasetDM: a few dozen labelled images in, a training set of any size out (arXiv 2308.06160).

    from datasetdm import load_model, read_image

`load_model` loads a trained model, `read_image` an image for it. Both are imported when they are first asked for, as
torch takes seconds.
"""

import os
from pkgutil import resolve_name
from typing import Any

# MLflow loads no pickled model of anyone's (see `tracking.load_model`).
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")

# Threads that wait for each other sleep: spinning, they slow a machine down that has anything else to do.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# No library that is used here reports anything to anyone, however the project is started.
for _switch in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "FIFTYONE_DO_NOT_TRACK"):
    os.environ.setdefault(_switch, "true")

_OFFERED = {
    "load_model": "datasetdm.pipeline.trained_models:load_model",
    "read_image": "datasetdm.utils.images:read_image",
}
__all__ = ["load_model", "read_image"]


def __getattr__(name: str) -> Any:
    if name in _OFFERED:
        return resolve_name(_OFFERED[name])
    raise AttributeError(f"module 'datasetdm' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_OFFERED})

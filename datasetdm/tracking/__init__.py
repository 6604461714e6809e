"""The only package that imports MLflow: runs of stages, the model registry, the store.

There is one experiment per benchmark. `MLFLOW_TRACKING_URI` chooses the store. The default is `mlflow/mlflow.db` with
artifacts in `mlflow/artifacts`, in the project's root folder (the current folder).
"""

from datasetdm.tracking.links import artifact_file
from datasetdm.tracking.promotion import CHALLENGER, promote
from datasetdm.tracking.registry import CHAMPION, load_model, requirements, serve
from datasetdm.tracking.runs import TrackedRun, dvc_md5, experiment_identity, git_commit, params_digest, track_run
from datasetdm.tracking.store import check_server

_load_pyfunc = serve  # the name that MLflow looks for in the `loader_module` of a registered model

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "TrackedRun",
    "artifact_file",
    "check_server",
    "dvc_md5",
    "experiment_identity",
    "git_commit",
    "load_model",
    "params_digest",
    "promote",
    "requirements",
    "track_run",
]

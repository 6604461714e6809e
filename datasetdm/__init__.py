"""DatasetDM: a few dozen labelled images in, a training set of any size out (arXiv 2308.06160)."""

import os

# MLflow loads no pickled model of anyone's (see `tracking.load_model`).
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")

# Threads that wait for each other sleep: spinning, they slow a machine down that has anything else to do.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# No library that is used here reports anything to anyone, however the project is started.
for _switch in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ.setdefault(_switch, "true")

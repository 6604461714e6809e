"""Addresses of MLflow's pages, for messages and for Dagster."""

import json
import os
from collections.abc import Sequence
from urllib.parse import quote

PAGES = "workflowType=machine_learning"  # else MLflow opens the page of traces of language models


def user_interface() -> str:
    """Where MLflow's pages are: at the chosen server, else where `make ui` serves the local store."""
    chosen = os.environ.get("MLFLOW_TRACKING_URI", "")
    if chosen.startswith("http"):
        return chosen.rstrip("/")
    return f"http://127.0.0.1:{os.environ.get('MLFLOW_PORT') or 5000}"


def comparison_page(experiment: str, run_ids: Sequence[str]) -> str:
    """Runs side by side: their parameters, metrics and plots."""
    runs, experiments = (quote(json.dumps(ids, separators=(",", ":"))) for ids in (list(run_ids), [experiment]))
    return f"{user_interface()}/#/compare-runs?runs={runs}&experiments={experiments}&{PAGES}"


def run_page(experiment: str, run_id: str, artifact: str = "") -> str:
    """A run, or the page of one of its files."""
    of_file = f"/artifacts/{artifact}" if artifact else ""
    return f"{user_interface()}/#/experiments/{experiment}/runs/{run_id}{of_file}?{PAGES}"


def artifact_file(run_id: str, artifact: str) -> str:
    """A file of a run itself, such as a picture."""
    return f"{user_interface()}/get-artifact?path={artifact}&run_uuid={run_id}"

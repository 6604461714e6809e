"""Dagster's old runs. Dagster is asked in another process: this library does not import it."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from datasetdm.errors import DatasetDMError
from datasetdm.pipeline.pruning.findings import Findings, Item


class History:
    """Dagster's history, looked at once.

    Args:
        days: how long a run stays after it has ended.

    Raises:
        DatasetDMError: Dagster could not be asked.
    """

    def __init__(self, days: float) -> None:
        self._days = days
        self.missing = _why_missing()
        content: dict[str, Any] = {} if self.missing else json.loads(self._ask())
        #: Ids of the runs that have not ended.
        self.unfinished: list[str] = content.get("unfinished", [])
        self._old: list[dict[str, Any]] = content.get("old", [])

    def find_runs(self) -> Findings:
        """The runs that may go."""
        items = [Item(name=run["name"], why=run["why"], size=run["size"]) for run in self._old]
        return Findings(part="dagster", items=items, notes=[self.missing] if self.missing else [], remove=self._remove)

    def _remove(self) -> list[str]:
        self._ask("--remove", ids=[run["run_id"] for run in self._old])
        return []

    def _ask(self, *options: str, ids: Sequence[str] = ()) -> str:
        command = [sys.executable, "-m", "orchestration.old_runs", "--days", f"{self._days:g}", *options]
        run = subprocess.run(command, input="\n".join(ids), capture_output=True, text=True)
        if run.returncode:
            lines = run.stderr.strip().splitlines() or [f"it ended with code {run.returncode}"]
            raise DatasetDMError(
                f"Dagster's history in {os.environ['DAGSTER_HOME']} could not be asked: {lines[-1]} If Dagster was "
                "upgraded, run `make setup`, which upgrades the history too; `--only` leaves Dagster out."
            )
        return run.stdout


def _why_missing() -> str:
    """Why there is no history to look at; "" if there is one."""
    home = os.environ.get("DAGSTER_HOME", "")
    if not home:
        return "DAGSTER_HOME is not set (make setup writes it into .env), so Dagster's history is left alone."
    if not Path(home, "dagster.yaml").exists() and not Path(home, "history").exists():
        return f"There is no history of Dagster in {home}."
    return (
        "" if find_spec("orchestration") else "The package orchestration is not installed, so Dagster cannot be asked."
    )
